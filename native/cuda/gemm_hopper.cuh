// Products y = x W^T by warpgroups of compute capability 9.0a: one thread keeps copies of tiles ahead, the
// other warpgroups multiply and store.
#pragma once

#include "cuda/epilogue.cuh"
#include "cuda/hopper.cuh"

namespace albert::cuda {

// A block computes kRows x kColumns sums, each of kWarpgroups 64 rows of them, from a ring of kStages pairs
// of tiles. The kBlocks of a cluster compute rows below one another with the same weights, of which each
// copies a part to all.
template <int kWarpgroupCount, int kColumnCount, int kBlockCount>
struct HopperTile {
  static constexpr int kWarpgroups = kWarpgroupCount, kColumns = kColumnCount, kBlocks = kBlockCount;
  static constexpr int kRows = kWarpgroups * kTile;
  static constexpr int kWarpgroupThreads = 128;
  static constexpr int kThreads = (kWarpgroups + 1) * kWarpgroupThreads;  // the last warpgroup copies
  static constexpr int kStageValues = (kRows + kColumns) * kTile;
  static constexpr int kStageBytes = kStageValues * static_cast<int>(sizeof(uint16_t));
  static constexpr int kStages = 196608 / kStageBytes < 10 ? 196608 / kStageBytes : 10;
  static constexpr int kAlignment = 1024;  // of a tile
  static constexpr int kStagings = kWarpgroups * kWarpgroupThreads / kWarp;
  static constexpr size_t kSharedBytes =
      kAlignment + kStages * (kStageBytes + 2 * sizeof(uint64_t)) + kStagings * kStagingBytes;
};

// store_strip() of what becomes tiles: a bulk copy takes 16 rows of a tile, which are contiguous there, while
// the warp goes on.
template <int kColumns, Activation kActivation>
__device__ void store_strip_by_copies(const float (&sums)[kColumns / 2], int first_row, int first_column,
                                      int rows, int out, unsigned char* memory,
                                      const StoreTiles<kActivation>& store) {
  constexpr int kBuffers = 2;
  constexpr int kBytes = 16 * kTile * static_cast<int>(sizeof(uint16_t));
  static_assert(kBuffers * kBytes <= kStagingBytes);
  const bool copies = threadIdx.x % kWarp == 0;
#pragma unroll
  for (int group = 0; group < kColumns / kTile; ++group) {
    const int column = first_column + group * kTile;
    uint16_t* const staging = reinterpret_cast<uint16_t*>(memory + group % kBuffers * kBytes);
    if (copies) wait_for_bulk_reads<kBuffers - 1>();
    __syncwarp();
    stage_group<kTile, kColumns>(staging, sums, group, column, out, store, tile_chunk);
    publish_shared();
    __syncwarp();
    if (copies) {
      if (first_row < rows && column < out)
        copy_bulk_out(store.y.tile(first_row / kTile, column / kTile) + first_row % kTile * kTile, staging,
                      kBytes);
      commit_bulk_copies();
    }
  }
}

template <typename Store>
constexpr bool kStoresTiles = false;
template <Activation kActivation>
constexpr bool kStoresTiles<StoreTiles<kActivation>> = true;

// kByColumns: of x and weights [depth, rows] and [depth, out], see TileProduct.
template <typename Shape, bool kByColumns, typename Store>
__global__ void __launch_bounds__(Shape::kThreads, 1)
    multiply_hopper_kernel(Tiles x, Tiles weights, ProductWork work, Store store) {
#if defined(ALBERT_HOPPER)
  constexpr int kWarpgroups = Shape::kWarpgroups, kColumns = Shape::kColumns, kBlocks = Shape::kBlocks;
  constexpr int kStages = Shape::kStages;
  unsigned char* memory = dynamic_shared<unsigned char>();
  memory += (Shape::kAlignment - shared_address(memory) % Shape::kAlignment) % Shape::kAlignment;
  uint16_t* const stages = reinterpret_cast<uint16_t*>(memory);
  unsigned char* const staging = memory + kStages * Shape::kStageBytes;
  uint64_t* const full = reinterpret_cast<uint64_t*>(staging + Shape::kStagings * kStagingBytes);
  uint64_t* const empty = full + kStages;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      make_barrier(full + i, 1);
      make_barrier(empty + i, kWarpgroups * kBlocks);
    }
    publish_barriers();
  }
  kBlocks > 1 ? synchronise_cluster() : __syncthreads();
  follow_previous();
  const int warpgroup = static_cast<int>(threadIdx.x) / Shape::kWarpgroupThreads;
  const int rank = kBlocks > 1 ? rank_in_cluster() : 0;
  const int first_item = static_cast<int>(blockIdx.x) / kBlocks;
  const int concurrent_items = static_cast<int>(gridDim.x) / kBlocks;
  struct Part {
    int row, column, begin, end;  // of the result; of the depth, in tiles
  };
  const auto part_of = [&](int i) {
    const int split = i / (work.across * work.down);
    return Part{(i / work.across % work.down * kBlocks + rank) * Shape::kRows, i % work.across * kColumns,
                work.begin(split), work.begin(split + 1)};
  };
  int stage = 0, phase = 0;
  const auto next_stage = [&] {
    if (++stage == kStages) stage = 0, phase ^= 1;
  };

  // Of each thread; the warpgroup that copies leaves its own to the others.
  constexpr int kCopyRegisters = 40, kProductRegisters = 232;
  if (warpgroup == kWarpgroups) {
    if constexpr (kWarpgroups > 1) give_registers<kCopyRegisters>();
    // A thread starts a copy every 140 cycles and waits as long for its barrier, so the warps take turns and
    // every copy of a stage has its own lane.
    constexpr int kCopyWarps = Shape::kWarpgroupThreads / kWarp;
    const int copy_warp = static_cast<int>(threadIdx.x) / kWarp % kCopyWarps;
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    int turn = 0;
    for (int i = first_item; i < work.count(); i += concurrent_items) {
      const Part part = part_of(i);
      // Tiles past the last row or column are not there; the last block of a cluster may have none at all.
      constexpr int kColumnTiles = (kColumns + kTile - 1) / kTile;
      constexpr int kColumnBytes = (kColumns < kTile ? kColumns : kTile) * kTileBytes / kTile;
      const int row_tiles =
          min(kWarpgroups, work.rows > part.row ? static_cast<int>(tiles_of(work.rows - part.row)) : 0);
      const int column_tiles = min(kColumnTiles, static_cast<int>(tiles_of(work.out - part.column)));
      const int row_tile = part.row / kTile, column_tile = part.column / kTile,
                of_column = lane - kWarpgroups;
      for (int step = part.begin; step < part.end; ++step) {
        if (turn == copy_warp) {
          wait_for_phase(empty + stage, phase ^ 1);
          if (lane == 0) arrive_expecting(full + stage, row_tiles * kTileBytes + column_tiles * kColumnBytes);
          uint16_t* const to = stages + stage * Shape::kStageValues;
          if (lane < row_tiles) {
            copy_bulk(to + lane * kTileValues,
                      kByColumns ? x.tile(step, row_tile + lane) : x.tile(row_tile + lane, step), kTileBytes,
                      full + stage);
          } else if (of_column >= 0 && of_column < column_tiles && of_column % kBlocks == rank) {
            uint16_t* const to_column = to + Shape::kRows * kTile + of_column * kTileValues;
            const uint16_t* const from =
                kByColumns ? weights.tile(step, column_tile + of_column)
                           : weights.tile(column_tile + of_column, step) + part.column % kTile * kTile;
            if constexpr (kBlocks > 1)
              copy_bulk_to_cluster(to_column, from, kColumnBytes, full + stage, kBlocks);
            else
              copy_bulk(to_column, from, kColumnBytes, full + stage);
          }
        }
        turn = (turn + 1) % kCopyWarps;
        next_stage();
      }
    }
  } else {
    if constexpr (kWarpgroups > 1) take_registers<kProductRegisters>();
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    // A stage is free when no warpgroup of the cluster reads it: copies go to all.
    const int reports_to = static_cast<int>(threadIdx.x) % Shape::kWarpgroupThreads;
    const auto report_empty = [&](int of_stage) {
      if (reports_to >= kBlocks) return;
      if constexpr (kBlocks > 1)
        arrive_in_cluster(empty + of_stage, reports_to);
      else
        arrive(empty + of_stage);
    };
    for (int i = first_item; i < work.count(); i += concurrent_items) {
      const Part part = part_of(i);
      float sums[kColumns / 2];
      int last = 0;
      for (int step = 0; step < part.end - part.begin; ++step) {
        wait_for_phase(full + stage, phase);
        const uint16_t* const a = stages + stage * Shape::kStageValues + warpgroup * kTileValues;
        const uint16_t* const b = stages + stage * Shape::kStageValues + Shape::kRows * kTile;
        begin_products();
#pragma unroll
        for (int k = 0; k < kTile / 16; ++k)
          multiply_add_tiles<kColumns, kByColumns>(sums, a, b, k, step > 0 || k > 0);
        commit_products();
        wait_for_products<1>();  // the step before is done with its stage
        if (step > 0) report_empty(last);
        last = stage;
        next_stage();
      }
      wait_for_products<0>();
      report_empty(last);
      unsigned char* const own = staging + warp * kStagingBytes;
      const int below = i / (work.across * work.down) * work.rows, row = part.row + warp * 16;
      // What the last strip left is on its way long since; its copies must have read where this one goes.
      if (threadIdx.x % kWarp == 0) wait_for_bulk_reads<0>();
      __syncwarp();
      for_stores(store, [&](const auto& one) {
        if constexpr (kStoresTiles<std::decay_t<decltype(one)>> && kColumns >= kTile)
          store_strip_by_copies<kColumns>(sums, row, part.column, work.rows, work.out, own, one);
        else
          store_strip<kColumns>(sums, below + row, part.column, below + work.rows, work.out, own, one);
      });
    }
    wait_for_bulk_reads<0>();
  }
  if constexpr (kBlocks > 1) synchronise_cluster();  // others write here until they end
#endif
}

}  // namespace albert::cuda
