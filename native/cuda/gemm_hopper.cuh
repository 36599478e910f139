// Products y = x W^T by warpgroups of compute capability 9.0a: one thread keeps copies of tiles ahead, the
// other warpgroups multiply and store.
#pragma once

#include "cuda/epilogue.cuh"
#include "cuda/hopper.cuh"

namespace albert::cuda {

// A block computes kRows x kColumns sums, each of kWarpgroups 64 rows of them, from a ring of kStages pairs
// of tiles.
template <int kWarpgroups, int kColumns>
struct HopperTile {
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

template <typename Store>
constexpr bool kStoresTiles = false;
template <Activation kActivation>
constexpr bool kStoresTiles<StoreTiles<kActivation>> = true;

// Stores a strip (see store_strip()) that becomes tiles: a bulk copy takes 16 rows of a tile, which are
// contiguous there, while the warp goes on.
template <int kColumns, Activation kActivation>
__device__ void store_tile_strip(const float (&sums)[kColumns / 2], int first_row, int first_column, int rows,
                                 int out, unsigned char* memory, const StoreTiles<kActivation>& store) {
  constexpr int kBuffers = 2, kBytes = 16 * kTile * static_cast<int>(sizeof(uint16_t));
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

// kByColumns: of x and weights [depth, rows] and [depth, out], see TileProduct.
template <int kWarpgroups, int kColumns, bool kByColumns, typename Store>
__global__ void __launch_bounds__(HopperTile<kWarpgroups, kColumns>::kThreads, 1)
    multiply_hopper_kernel(Tiles x, Tiles weights, ProductWork work, Store store) {
#if defined(ALBERT_HOPPER)
  using Shape = HopperTile<kWarpgroups, kColumns>;
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
      make_barrier(empty + i, kWarpgroups);
    }
    publish_barriers();
  }
  __syncthreads();
  follow_previous();
  const int warpgroup = static_cast<int>(threadIdx.x) / Shape::kWarpgroupThreads;
  struct Part {
    int row, column, begin, end;  // of the result; of the depth, in tiles
  };
  const auto part_of = [&](int i) {
    const int split = i / (work.across * work.down);
    return Part{i / work.across % work.down * Shape::kRows, i % work.across * kColumns, work.begin(split),
                work.begin(split + 1)};
  };
  int stage = 0, phase = 0;
  const auto next_stage = [&] {
    if (++stage == kStages) stage = 0, phase ^= 1;
  };

  // Of each thread; the warpgroup that copies leaves its own to the others.
  constexpr int kCopyRegisters = 40, kProductRegisters = 232;
  if (warpgroup == kWarpgroups) {
    if constexpr (kWarpgroups > 1) give_registers<kCopyRegisters>();
    const int items = threadIdx.x % Shape::kWarpgroupThreads == 0 ? work.count() : 0;
    for (int i = static_cast<int>(blockIdx.x); i < items; i += static_cast<int>(gridDim.x)) {
      const Part part = part_of(i);
      // Tiles past the last row or column are not there.
      constexpr int kColumnTiles = (kColumns + kTile - 1) / kTile;
      constexpr int kColumnBytes = (kColumns < kTile ? kColumns : kTile) * kTileBytes / kTile;
      const int row_tiles = min(kWarpgroups, static_cast<int>(tiles_of(work.rows - part.row)));
      const int column_tiles = min(kColumnTiles, static_cast<int>(tiles_of(work.out - part.column)));
      for (int step = part.begin; step < part.end; ++step) {
        wait_for_phase(empty + stage, phase ^ 1);
        arrive_expecting(full + stage, row_tiles * kTileBytes + column_tiles * kColumnBytes);
        uint16_t* const to = stages + stage * Shape::kStageValues;
        const int row_tile = part.row / kTile, column_tile = part.column / kTile;
        for (int t = 0; t < row_tiles; ++t)
          copy_bulk(to + t * kTileValues,
                    kByColumns ? x.tile(step, row_tile + t) : x.tile(row_tile + t, step), kTileBytes,
                    full + stage);
        for (int t = 0; t < column_tiles; ++t)
          copy_bulk(to + Shape::kRows * kTile + t * kTileValues,
                    kByColumns ? weights.tile(step, column_tile + t)
                               : weights.tile(column_tile + t, step) + part.column % kTile * kTile,
                    kColumnBytes, full + stage);
        next_stage();
      }
    }
  } else {
    if constexpr (kWarpgroups > 1) take_registers<kProductRegisters>();
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    const bool reports = threadIdx.x % Shape::kWarpgroupThreads == 0;
    for (int i = static_cast<int>(blockIdx.x); i < work.count(); i += static_cast<int>(gridDim.x)) {
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
        if (step > 0 && reports) arrive(empty + last);
        last = stage;
        next_stage();
      }
      wait_for_products<0>();
      if (reports) arrive(empty + last);
      unsigned char* const own = staging + warp * kStagingBytes;
      const int below = i / (work.across * work.down) * work.rows, row = part.row + warp * 16;
      if constexpr (kStoresTiles<Store> && kColumns >= kTile)
        store_tile_strip<kColumns>(sums, row, part.column, work.rows, work.out, own, store);
      else
        store_strip<kColumns>(sums, below + row, part.column, below + work.rows, work.out, own, store);
    }
    wait_for_bulk_reads<0>();
  }
#endif
}

}  // namespace albert::cuda
