// Products y = x W^T by warpgroups of compute capability 9.0a: one keeps copies of tiles ahead, others
// multiply, and one stores what they leave.
#pragma once

#include "cuda/epilogue.cuh"
#include "cuda/hopper.cuh"

namespace albert::cuda {

// A block computes kRows x kColumns sums, each of kWarpgroups 64 rows of them. The kBlocks of a cluster
// compute rows below one another with the same weights, of which each copies a part to all.
template <int kWarpgroupCount, int kColumnCount, int kBlockCount>
struct HopperTile {
  static constexpr int kWarpgroups = kWarpgroupCount, kColumns = kColumnCount, kBlocks = kBlockCount;
  static constexpr int kRows = kWarpgroups * kTile;
};

// What a block of such a tile consists of: warpgroups that multiply, and warps that copy and store. Sums that
// are held in 16 bits are stored by warps of their own while the next are on their way; rows of fp32 by the
// warps that have them.
template <typename Shape, typename Store>
struct HopperBlock {
  static constexpr bool kStoresApart = !kHoldsRows<Store>;
  static constexpr int kWarpgroupThreads = 128, kWarpgroupWarps = kWarpgroupThreads / kWarp;
  // The largest tile leaves room for one warpgroup beside those that multiply. A warp is enough to copy
  // there: steps are long.
  static constexpr bool kIsLargest = Shape::kWarpgroups * Shape::kColumns > 256;
  static constexpr int kCopyWarps = kIsLargest && kStoresApart ? 1 : 4;
  static constexpr int kStoreWarps = !kStoresApart ? 0 : kIsLargest ? 3 : 4;
  static constexpr int kProductThreads = Shape::kWarpgroups * kWarpgroupThreads;
  static constexpr int kThreads = kProductThreads + (kCopyWarps + kStoreWarps) * kWarp;
  // Of each thread of the largest tile, which share what all were launched with.
  static constexpr int kProductRegisters = kStoresApart ? 200 : 232,
                       kOtherRegisters = kStoresApart ? 104 : 40;
  static constexpr int kLaunchedRegisters = 65536 / kThreads / 8 * 8;
  static_assert(!kIsLargest ||
                kProductRegisters * kProductThreads + kOtherRegisters * (kThreads - kProductThreads) <=
                    kLaunchedRegisters * kThreads);

  // Shared memory: a ring of kStages pairs of tiles, the strips that are held, the bias of the tiles of the
  // result that the ring may hold at once, and barriers.
  static constexpr int kAlignment = 1024;  // of a tile
  static constexpr int kStrips = Shape::kWarpgroups * kWarpgroupWarps;
  static constexpr int kStripValues = (kStoresApart ? kGroups<Shape::kColumns> : 1) * kGroupValues;
  static constexpr int kStripBytes = kStripValues * static_cast<int>(sizeof(ValueOf<Store>));
  static constexpr int kStageValues = (Shape::kRows + Shape::kColumns) * kTile;
  static constexpr int kStageBytes = kStageValues * static_cast<int>(sizeof(uint16_t));
  static constexpr int kBiasBytes = kStoresApart ? Shape::kColumns * static_cast<int>(sizeof(float)) : 0;
  static constexpr int kBarrierBytes = static_cast<int>(sizeof(uint64_t));
  static constexpr int kMost =
      (227 << 10) - kAlignment - kStrips * (kStripBytes + 2 * kBarrierBytes) - kBiasBytes;
  static constexpr int kOfStage = kStageBytes + kBiasBytes + 2 * kBarrierBytes;
  static constexpr int kStages = kMost / kOfStage < 10 ? kMost / kOfStage : 10;
  static constexpr size_t kSharedBytes = (227 << 10) - kMost + kStages * kOfStage;
};

// Puts the factors of a strip where it will be held. Those of a group are read while the group before is
// computed.
template <int kColumns, typename Store>
__device__ void prepare_strip(uint16_t* held, const StripPlace& place, const Store& store) {
  using Chunks = LaneChunks<kColumns, Store>;
  uint4 inputs[Chunks::kTurns] = {}, next[Chunks::kTurns] = {};
  const auto read = [&](int group) {
    Chunks::for_each(held, group, place,
                     [&](int turn, uint4*, int row, int column) { next[turn] = store.input(row, column); });
  };
  read(0);
#pragma unroll 1
  for (int group = 0; group < kGroups<kColumns>; ++group) {
#pragma unroll
    for (int turn = 0; turn < Chunks::kTurns; ++turn) inputs[turn] = next[turn];
    if (group + 1 < kGroups<kColumns>) read(group + 1);
    Chunks::for_each(
        held + group * kGroupValues, group, place,
        [&](int turn, uint4* at, int row, int column) { *at = store.prepare(row, column, inputs[turn]); });
  }
  __syncwarp();
}

// A held strip of a result of tiles goes there by bulk copies, each of 16 rows of a tile, which are
// contiguous there and where they are held; any other by chunks.
template <int kColumns, typename Store>
__device__ void store_held_strip(uint16_t* held, const StripPlace& place, const Store& store) {
  constexpr bool kCopies = kStoresTiles<Store> && kColumns >= kTile;
  const bool leads = threadIdx.x % kWarp == 0;
#pragma unroll 1
  for (int group = 0; group < kGroups<kColumns>; ++group) {
    uint16_t* const of_group = held + group * kGroupValues;
    if constexpr (!(kCopies && Store::kHeldIsResult)) {
      LaneChunks<kColumns, Store>::for_each(of_group, group, place, [&](int, uint4* at, int row, int column) {
        if constexpr (kCopies)
          *at = store.chunk(row, column, *at);
        else if constexpr (kStoresTiles<Store>)
          *tile_chunk_of(store, row, column) = store.chunk(row, column, *at);
        else
          store.chunk(row, column, *at);
      });
      publish_shared();
      __syncwarp();
    }
    if constexpr (kCopies) {
      const int column = place.column + group * kTile;
      if (leads && place.row < place.rows && column < place.out)
        copy_bulk_out(store.y.tile(place.row / kTile, column / kTile) + place.row % kTile * kTile, of_group,
                      kGroupValues * static_cast<int>(sizeof(uint16_t)));
    }
  }
  if (kCopies && leads) {
    commit_bulk_copies();
    wait_for_bulk_reads<0>();
  }
  __syncwarp();
}

// kByColumns: of x and weights [depth, rows] and [depth, out], see TileProduct.
template <typename Shape, bool kByColumns, typename Store>
__global__ void __launch_bounds__(HopperBlock<Shape, Store>::kThreads, 1)
    multiply_hopper_kernel(Tiles x, Tiles weights, ProductWork work, Store store) {
#if defined(ALBERT_HOPPER)
  using Block = HopperBlock<Shape, Store>;
  constexpr int kWarpgroups = Shape::kWarpgroups, kColumns = Shape::kColumns, kBlocks = Shape::kBlocks;
  constexpr int kStages = Block::kStages, kBiases = kStages + 1;
  unsigned char* memory = dynamic_shared<unsigned char>();
  memory += (Block::kAlignment - shared_address(memory) % Block::kAlignment) % Block::kAlignment;
  uint16_t* const stages = reinterpret_cast<uint16_t*>(memory);
  memory += kStages * Block::kStageBytes;
  using Value = ValueOf<Store>;
  Value* const strips = reinterpret_cast<Value*>(memory);
  memory += Block::kStrips * Block::kStripBytes;
  float* const biases = reinterpret_cast<float*>(memory);
  memory += kBiases * Block::kBiasBytes;
  uint64_t* const full = reinterpret_cast<uint64_t*>(memory);
  uint64_t* const empty = full + kStages;
  uint64_t* const held = empty + kStages;
  uint64_t* const ready = held + Block::kStrips;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      make_barrier(full + i, 1);
      make_barrier(empty + i, kWarpgroups * kBlocks);
    }
    for (int i = 0; i < Block::kStrips; ++i) {
      make_barrier(held + i, 1);
      make_barrier(ready + i, 1);
    }
    publish_barriers();
  }
  kBlocks > 1 ? synchronise_cluster() : __syncthreads();
  follow_previous();
  const int warpgroup = static_cast<int>(threadIdx.x) / Block::kWarpgroupThreads;
  const int other =
      (static_cast<int>(threadIdx.x) - Block::kProductThreads) / kWarp;  // warp that copies or stores
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
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
  const auto place_of = [&](int i, const Part& part, int strip) {
    const int below = i / (work.across * work.down) * work.rows;
    return StripPlace{below + part.row + strip * 16, part.column, below + work.rows, work.out};
  };
  int stage = 0, phase = 0;
  const auto next_stage = [&] {
    if (++stage == kStages) stage = 0, phase ^= 1;
  };
  int bias = 0;
  const auto next_bias = [&] { bias = (bias + 1) % kBiases; };

  if (warpgroup < kWarpgroups) {
    if constexpr (Block::kIsLargest) take_registers<Block::kProductRegisters>();
    const int strip = static_cast<int>(threadIdx.x) / kWarp;
    Value* const own = strips + strip * Block::kStripValues;
    // A stage is free when no warpgroup of the cluster reads it: copies go to all.
    const int reports_to = static_cast<int>(threadIdx.x) % Block::kWarpgroupThreads;
    const auto report_empty = [&](int of_stage) {
      if (reports_to >= kBlocks) return;
      if constexpr (kBlocks > 1)
        arrive_in_cluster(empty + of_stage, reports_to);
      else
        arrive(empty + of_stage);
    };
    int turn = 0;
    for (int i = first_item; i < work.count(); i += concurrent_items) {
      const Part part = part_of(i);
      float sums[kColumns / 2];
      int last = 0;
      for (int step = 0; step < part.end - part.begin; ++step) {
        wait_for_phase(full + stage, phase);
        const uint16_t* const a = stages + stage * Block::kStageValues + warpgroup * kTileValues;
        const uint16_t* const b = stages + stage * Block::kStageValues + Shape::kRows * kTile;
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
      if constexpr (Block::kStoresApart) {
        wait_for_phase(ready + strip, turn);
        const float* const of_tile = store.bias ? biases + bias * kColumns : nullptr;
#pragma unroll
        for (int group = 0; group < kGroups<kColumns>; ++group)
          hold_group<kColumns, Store>(own + group * kGroupValues, sums, group,
                                      of_tile ? of_tile + group * kGroup<kColumns> : nullptr);
        publish_shared();
        __syncwarp();
        if (lane == 0) arrive(held + strip);
        turn ^= 1;
        next_bias();
      } else {
        store_strip<kColumns>(own, sums, place_of(i, part, strip), store);
      }
    }
  } else {
    if constexpr (Block::kIsLargest) give_registers<Block::kOtherRegisters>();
    if (other < Block::kCopyWarps) {
      // A thread starts a copy every 140 cycles and waits as long for its barrier, so the warps take turns
      // and every copy of a stage has its own lane.
      constexpr int kColumnTiles = (kColumns + kTile - 1) / kTile, kCopies = kWarpgroups + kColumnTiles;
      constexpr int kColumnBytes = (kColumns < kTile ? kColumns : kTile) * kTileBytes / kTile;
      int turn = 0;
      for (int i = first_item; i < work.count(); i += concurrent_items) {
        const Part part = part_of(i);
        // Tiles past the last row or column are not there; the last block of a cluster may have none at all.
        const int row_tiles =
            min(kWarpgroups, work.rows > part.row ? static_cast<int>(tiles_of(work.rows - part.row)) : 0);
        const int column_tiles = min(kColumnTiles, static_cast<int>(tiles_of(work.out - part.column)));
        const int bias_bytes = Block::kStoresApart && store.bias
                                   ? min(kColumns, column_tiles * kTile) * static_cast<int>(sizeof(float))
                                   : 0;
        const int row_tile = part.row / kTile, column_tile = part.column / kTile,
                  of_column = lane - kWarpgroups;
        for (int step = part.begin; step < part.end; ++step) {
          if (turn == other) {
            wait_for_phase(empty + stage, phase ^ 1);
            const bool with_bias = step == part.begin && bias_bytes > 0;
            if (lane == 0)
              arrive_expecting(full + stage, row_tiles * kTileBytes + column_tiles * kColumnBytes +
                                                 (with_bias ? bias_bytes : 0));
            uint16_t* const to = stages + stage * Block::kStageValues;
            if (lane < row_tiles) {
              copy_bulk(to + lane * kTileValues,
                        kByColumns ? x.tile(step, row_tile + lane) : x.tile(row_tile + lane, step),
                        kTileBytes, full + stage);
            } else if (of_column >= 0 && of_column < column_tiles && of_column % kBlocks == rank) {
              uint16_t* const to_column = to + Shape::kRows * kTile + of_column * kTileValues;
              const uint16_t* const from =
                  kByColumns ? weights.tile(step, column_tile + of_column)
                             : weights.tile(column_tile + of_column, step) + part.column % kTile * kTile;
              if constexpr (kBlocks > 1)
                copy_bulk_to_cluster(to_column, from, kColumnBytes, full + stage, kBlocks);
              else
                copy_bulk(to_column, from, kColumnBytes, full + stage);
            } else if (lane == kCopies && with_bias) {
              copy_bulk(biases + bias * kColumns, store.bias + part.column, bias_bytes, full + stage);
            }
          }
          turn = (turn + 1) % Block::kCopyWarps;
          next_stage();
        }
        next_bias();
      }
    } else if constexpr (Block::kStoresApart) {
      int turn = 0;
      for (int i = first_item; i < work.count(); i += concurrent_items) {
        const Part part = part_of(i);
        const auto for_strips = [&](const auto& body) {
#pragma unroll 1
          for (int strip = other - Block::kCopyWarps; strip < Block::kStrips; strip += Block::kStoreWarps)
            body(strip, strips + strip * Block::kStripValues, place_of(i, part, strip));
        };
        for_strips([&](int strip, uint16_t* of_strip, const StripPlace& place) {
          if constexpr (kPrepares<Store>) prepare_strip<kColumns>(of_strip, place, store);
          if (lane == 0) arrive(ready + strip);
        });
        for_strips([&](int strip, uint16_t* of_strip, const StripPlace& place) {
          wait_for_phase(held + strip, turn);
          store_held_strip<kColumns>(of_strip, place, store);
        });
        turn ^= 1;
      }
    }
  }
  if constexpr (kBlocks > 1) synchronise_cluster();  // others write here until they end
#endif
}

}  // namespace albert::cuda
