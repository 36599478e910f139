// Products y = x W^T by warpgroups of compute capability 9.0a: some warps keep copies of tiles ahead, some
// multiply, and some store what those leave.
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
  // Where two warpgroups multiply and one does all else, they share what all were launched with; these are of
  // each thread.
  static constexpr bool kSharesRegisters =
      Shape::kWarpgroups == 2 && kThreads == kProductThreads + kWarpgroupThreads;
  static constexpr int kProductRegisters = kStoresApart ? 200 : 232,
                       kOtherRegisters = kStoresApart ? 104 : 40;
  static constexpr int kLaunchedRegisters = 65536 / kThreads / 8 * 8;
  static_assert(!kSharesRegisters ||
                kProductRegisters * kProductThreads + kOtherRegisters * (kThreads - kProductThreads) <=
                    kLaunchedRegisters * kThreads);

  // Shared memory: a ring of kStages pairs of tiles, the strips that are held, the bias of the tiles of the
  // result that the ring may hold at once, and barriers.
  static constexpr int kStrips = Shape::kWarpgroups * kWarpgroupWarps;
  static constexpr int kStripValues = (kStoresApart ? kGroups<Shape::kColumns> : 1) * kGroupValues;
  static constexpr int kStripBytes = kStripValues * static_cast<int>(sizeof(ValueOf<Store>));
  static constexpr int kStageValues = (Shape::kRows + Shape::kColumns) * kTile;
  static constexpr int kStageBytes = kStageValues * static_cast<int>(sizeof(uint16_t));
  static constexpr int kBiasBytes = kStoresApart ? Shape::kColumns * static_cast<int>(sizeof(float)) : 0;
  static constexpr int kBarrierBytes = static_cast<int>(sizeof(uint64_t));
  static constexpr int kMost =
      (227 << 10) - kTileAlignment - kStrips * (kStripBytes + 2 * kBarrierBytes) - kBiasBytes;
  static constexpr int kOfStage = kStageBytes + kBiasBytes + 2 * kBarrierBytes;
  static constexpr int kStages = kMost / kOfStage < 10 ? kMost / kOfStage : 10;
  // A parity does not tell a phase from the one before the last: with fewer stages than warps that copy, one
  // could come to a stage that is still read from two rounds ago, and take it for free.
  static_assert(kStages >= kCopyWarps);
  static constexpr size_t kSharedBytes = (227 << 10) - kMost + kStages * kOfStage;
};

// Puts the factors of a strip where it will be held. Those of a group are read while the group before is
// computed, by two chunks at a time: warps that store have no registers for more.
template <int kColumns, typename Store>
__device__ void prepare_strip(uint16_t* held, const StripPlace& place, const Store& store) {
  using Chunks = LaneChunks<kColumns, Store>;
  uint4 inputs[Chunks::kTurns] = {};
  const auto read = [&](int group) {
    Chunks::for_each(held, group, place,
                     [&](int turn, uint4*, int row, int column) { inputs[turn] = store.input(row, column); });
  };
  read(0);
#pragma unroll 1
  for (int group = 0; group < kGroups<kColumns>; ++group) {
    uint16_t* const of_group = held + group * kGroupValues;
    // What lies past the result is multiplied and stored too, by copies of whole tiles' rows: it must be
    // zero.
    const int64_t columns_end = place.column + (group + 1) * kGroup<kColumns>;
    if (place.rows < place.row + 16 || place.out < columns_end) {
      uint4* const chunks = reinterpret_cast<uint4*>(of_group);
      for (int i = static_cast<int>(threadIdx.x) % kWarp; i < kGroupValues / kTileChunk; i += kWarp)
        chunks[i] = {};
      __syncwarp();
    }
    Chunks::for_each(of_group, group, place, [&](int turn, uint4* at, int, int) { *at = inputs[turn]; });
    if (group + 1 < kGroups<kColumns>) read(group + 1);
    Chunks::template for_each<2>(of_group, group, place, [&](int, uint4* at, int row, int column) {
      *at = store.prepare(row, column, *at);
    });
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
      using Chunks = LaneChunks<kColumns, Store>;
      // All are read before the first is written, so that they are computed side by side.
      uint4 chunks[Chunks::kTurns];
      Chunks::for_each(of_group, group, place, [&](int turn, uint4* at, int, int) { chunks[turn] = *at; });
      Chunks::for_each(of_group, group, place, [&](int turn, uint4*, int row, int column) {
        if constexpr (kStoresTiles<Store>)
          chunks[turn] = store.chunk(row, column, chunks[turn]);
        else
          store.chunk(row, column, chunks[turn]);
      });
      Chunks::for_each(of_group, group, place, [&](int turn, uint4* at, int row, int column) {
        if constexpr (kStoresTiles<Store>) *(kCopies ? at : tile_chunk_of(store, row, column)) = chunks[turn];
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

#if defined(ALBERT_HOPPER)

// What the threads of a block share, and what each kind of warp does with it. kByColumns: of x and weights
// [depth, rows] and [depth, out], see TileProduct. Every warp goes through the same items in the same order.
template <typename Shape, bool kByColumns, typename Store>
class HopperProduct {
 public:
  using Block = HopperBlock<Shape, Store>;

  __device__ HopperProduct(unsigned char* memory, const Tiles& x, const Tiles& weights,
                           const ProductWork& work, const Store& store)
      : x_(x), weights_(weights), work_(work), store_(store), rank_(kBlocks > 1 ? rank_in_cluster() : 0) {
    memory = align_tiles(memory);
    const auto take = [&](auto*& part, int bytes) {
      part = reinterpret_cast<std::decay_t<decltype(part)>>(memory);
      memory += bytes;
    };
    take(stages_, kStages * Block::kStageBytes);
    take(strips_, Block::kStrips * Block::kStripBytes);
    take(biases_, kBiases * Block::kBiasBytes);
    take(full_, kStages * Block::kBarrierBytes);
    take(empty_, kStages * Block::kBarrierBytes);
    take(ready_, Block::kStrips * Block::kBarrierBytes);
    take(held_, Block::kStrips * Block::kBarrierBytes);
  }

  __device__ void make_barriers() const {
    for (int i = 0; i < kStages; ++i) {
      make_barrier(full_ + i, 1);
      make_barrier(empty_ + i, kWarpgroups * kBlocks);
    }
    for (int i = 0; i < Block::kStrips; ++i) {
      make_barrier(ready_ + i, 1);
      make_barrier(held_ + i, 1);
    }
    publish_barriers();
  }

  // By a warp of those that copy. A thread starts a copy every 140 cycles and waits as long for its barrier,
  // so the warps take turns and every copy of a stage has its own lane.
  __device__ void copy(int warp) {
    constexpr int kColumnTiles = (kColumns + kTile - 1) / kTile, kBiasLane = kWarpgroups + kColumnTiles;
    constexpr int kColumnBytes = (kColumns < kTile ? kColumns : kTile) * kTileBytes / kTile;
    const int lane = static_cast<int>(threadIdx.x) % kWarp, of_column = lane - kWarpgroups;
    int turn = 0;
    for_items([&](const Item& item) {
      // Tiles past the last row or column are not there; the last block of a cluster may have none at all.
      const int row_tiles =
          min(kWarpgroups, work_.rows > item.row ? static_cast<int>(tiles_of(work_.rows - item.row)) : 0);
      const int column_tiles = min(kColumnTiles, static_cast<int>(tiles_of(work_.out - item.column)));
      const int bias_bytes = Block::kStoresApart && store_.bias
                                 ? min(kColumns, column_tiles * kTile) * static_cast<int>(sizeof(float))
                                 : 0;
      const int row_tile = item.row / kTile, column_tile = item.column / kTile;
      for (int step = item.begin; step < item.end; ++step) {
        if (turn == warp) {
          uint64_t* const full = full_ + stage_;
          wait_for_phase(empty_ + stage_, phase_ ^ 1);
          const bool with_bias = step == item.begin && bias_bytes > 0;
          if (lane == 0)
            arrive_expecting(
                full, row_tiles * kTileBytes + column_tiles * kColumnBytes + (with_bias ? bias_bytes : 0));
          uint16_t* const to = stages_ + stage_ * Block::kStageValues;
          if (lane < row_tiles) {
            copy_bulk(to + lane * kTileValues,
                      kByColumns ? x_.tile(step, row_tile + lane) : x_.tile(row_tile + lane, step),
                      kTileBytes, full);
          } else if (of_column >= 0 && of_column < column_tiles && of_column % kBlocks == rank_) {
            uint16_t* const to_column = to + Shape::kRows * kTile + of_column * kTileValues;
            const uint16_t* const from =
                kByColumns ? weights_.tile(step, column_tile + of_column)
                           : weights_.tile(column_tile + of_column, step) + item.column % kTile * kTile;
            if constexpr (kBlocks > 1)
              copy_bulk_to_cluster(to_column, from, kColumnBytes, full, kBlocks);
            else
              copy_bulk(to_column, from, kColumnBytes, full);
          } else if (lane == kBiasLane && with_bias) {
            copy_bulk(biases_ + item.bias * kColumns, store_.bias + item.column, bias_bytes, full);
          }
        }
        turn = (turn + 1) % Block::kCopyWarps;
        next_stage();
      }
    });
  }

  // By a warp of a warpgroup, whose sums are a strip.
  __device__ void multiply(int strip) {
    const int warpgroup = strip / Block::kWarpgroupWarps;
    Value* const held = strips_ + strip * Block::kStripValues;
    for_items([&](const Item& item) {
      float sums[kColumns / 2];
      int last = 0;
      for (int step = item.begin; step < item.end; ++step) {
        wait_for_phase(full_ + stage_, phase_);
        const uint16_t* const a = stages_ + stage_ * Block::kStageValues + warpgroup * kTileValues;
        const uint16_t* const b = stages_ + stage_ * Block::kStageValues + Shape::kRows * kTile;
        begin_products();
#pragma unroll
        for (int k = 0; k < kTile / 16; ++k)
          multiply_add_tiles<kColumns, kByColumns>(sums, a, b, k, step > item.begin || k > 0);
        commit_products();
        wait_for_products<1>();  // the step before is done with its stage
        if (step > item.begin) report_empty(last);
        last = stage_;
        next_stage();
      }
      wait_for_products<0>();
      report_empty(last);
      if constexpr (Block::kStoresApart) {
        wait_for_phase(ready_ + strip, item.parity);
        const float* const bias = store_.bias ? biases_ + item.bias * kColumns : nullptr;
#pragma unroll
        for (int group = 0; group < kGroups<kColumns>; ++group)
          hold_group<kColumns, Store>(held + group * kGroupValues, sums, group,
                                      bias ? bias + group * kGroup<kColumns> : nullptr);
        publish_shared();
        __syncwarp();
        if (threadIdx.x % kWarp == 0) arrive(held_ + strip);
      } else {
        store_strip<kColumns>(held, sums, place_of(item, strip), store_);
      }
    });
  }

  // By a warp of those that store: it prepares its strips while their products go on.
  __device__ void store(int warp) {
    for_items([&](const Item& item) {
#pragma unroll 1
      for (int strip = warp; strip < Block::kStrips; strip += Block::kStoreWarps) {
        if constexpr (kPrepares<Store>)
          prepare_strip<kColumns>(strips_ + strip * Block::kStripValues, place_of(item, strip), store_);
        if (threadIdx.x % kWarp == 0) arrive(ready_ + strip);
      }
#pragma unroll 1
      for (int strip = warp; strip < Block::kStrips; strip += Block::kStoreWarps) {
        wait_for_phase(held_ + strip, item.parity);
        store_held_strip<kColumns>(strips_ + strip * Block::kStripValues, place_of(item, strip), store_);
      }
    });
  }

 private:
  static constexpr int kWarpgroups = Shape::kWarpgroups, kColumns = Shape::kColumns, kBlocks = Shape::kBlocks;
  static constexpr int kStages = Block::kStages, kBiases = kStages + 1;
  using Value = ValueOf<Store>;

  // A tile of the result, of a part of the depth.
  struct Item {
    int row, column, begin, end;  // of the result; of the depth, in tiles
    int above;                    // rows of the results of other parts
    int bias, parity;             // which place in the ring of biases; of the phases of strips
  };

  template <typename Body>
  __device__ void for_items(const Body& body) {
    int bias = 0, parity = 0;
    for (int i = static_cast<int>(blockIdx.x) / kBlocks; i < work_.count();
         i += static_cast<int>(gridDim.x) / kBlocks) {
      const int split = i / (work_.across * work_.down);
      body(Item{(i / work_.across % work_.down * kBlocks + rank_) * Shape::kRows, i % work_.across * kColumns,
                work_.begin(split), work_.begin(split + 1), split * work_.rows, bias, parity});
      bias = (bias + 1) % kBiases;
      parity ^= 1;
    }
  }

  __device__ StripPlace place_of(const Item& item, int strip) const {
    return {item.above + item.row + strip * 16, item.column, item.above + work_.rows, work_.out};
  }

  __device__ void next_stage() {
    if (++stage_ == kStages) stage_ = 0, phase_ ^= 1;
  }

  // A stage is free when no warpgroup of the cluster reads it: copies go to all.
  __device__ void report_empty(int stage) const {
    const int to = static_cast<int>(threadIdx.x) % Block::kWarpgroupThreads;
    if (to >= kBlocks) return;
    if constexpr (kBlocks > 1)
      arrive_in_cluster(empty_ + stage, to);
    else
      arrive(empty_ + stage);
  }

  const Tiles& x_;
  const Tiles& weights_;
  const ProductWork& work_;
  const Store& store_;
  const int rank_;
  int stage_ = 0, phase_ = 0;  // of the ring
  uint16_t* stages_;
  Value* strips_;
  float* biases_;
  uint64_t *full_, *empty_;  // stages
  uint64_t *ready_, *held_;  // strips: for sums, and with them
};

#endif

template <typename Shape, bool kByColumns, typename Store>
__global__ void __launch_bounds__(HopperBlock<Shape, Store>::kThreads, 1)
    multiply_hopper_kernel(Tiles x, Tiles weights, ProductWork work, Store store) {
#if defined(ALBERT_HOPPER)
  using Block = HopperBlock<Shape, Store>;
  HopperProduct<Shape, kByColumns, Store> product(dynamic_shared<unsigned char>(), x, weights, work, store);
  if (threadIdx.x == 0) product.make_barriers();
  Shape::kBlocks > 1 ? synchronise_cluster() : __syncthreads();
  follow_previous();
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < Block::kProductThreads) {
    if constexpr (Block::kSharesRegisters) take_registers<Block::kProductRegisters>();
    product.multiply(thread / kWarp);
  } else {
    if constexpr (Block::kSharesRegisters) give_registers<Block::kOtherRegisters>();
    const int warp = (thread - Block::kProductThreads) / kWarp;
    if (warp < Block::kCopyWarps)
      product.copy(warp);
    else if constexpr (Block::kStoresApart)
      product.store(warp - Block::kCopyWarps);
  }
  if constexpr (Shape::kBlocks > 1) synchronise_cluster();  // others write here until they end
#endif
}

}  // namespace albert::cuda
