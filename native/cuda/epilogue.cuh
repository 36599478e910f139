// How warps store the sums of a product: past shared memory, so that they write whole chunks of 16 bytes.
#pragma once

#include "cuda/stores.cuh"

namespace albert::cuda {

// What the blocks of a product work on: neighbours share the rows of x.
struct ProductWork {
  int rows, out;     // of the result
  int depth;         // in tiles
  int across, down;  // tiles of the result
  int splits;        // parts of the depth, whose results lie below one another

  __host__ __device__ int count() const { return across * down * splits; }
  // Of a part of the depth, in tiles.
  __device__ int begin(int split) const { return depth * split / splits; }
};

// A strip of a result is what a warp's tensor cores leave it: 16 rows of kColumns sums. Of columns 8 j +
// 2 (l % 4) and the next, lane l has row l / 4 in sums[4 j] and [4 j + 1], and the row 8 below in the
// following two. It is held and stored by groups of 64 columns. What lies at `rows`, `out` and past them is
// not stored.
struct StripPlace {
  int row, column;
  int rows, out;
};
template <int kColumns>
constexpr int kGroup = kColumns < 64 ? kColumns : 64;
template <int kColumns>
constexpr int kGroups = kColumns / kGroup<kColumns>;

// Values of shared memory that hold a group.
constexpr int kGroupValues = 16 * 64;

// Where a chunk of a row of a group is held. Chunks change places with the number of the row, so that rows
// lie in different banks.
template <int kColumns, typename Store>
__device__ uint32_t held_at(uint32_t row, uint32_t chunk) {
  if constexpr (kHoldsRows<Store>) {
    constexpr int kChunks = kGroup<kColumns> / kChunk<Store>;
    constexpr int kQuad = 2;  // chunks that four lanes write
    return row * kGroup<kColumns> + (chunk ^ (row * kQuad % kChunks)) * kChunk<Store>;
  } else {
    return tile_chunk(row, chunk);
  }
}

// Takes the sums of a group. `bias` is that of its first column, or null; what the store prepared is where
// the group will be.
template <int kColumns, typename Store>
__device__ void hold_group(ValueOf<Store>* held, const float (&sums)[kColumns / 2], int group,
                           const float* bias) {
  using Pair = typename Store::Held::Pair;
  constexpr int kValues = kChunk<Store>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float2 bias_of[kGroup<kColumns> / 8] = {};
  if (bias)
#pragma unroll
    for (int j = 0; j < kGroup<kColumns> / 8; ++j)
      bias_of[j] = *reinterpret_cast<const float2*>(bias + j * 8 + lane % 4 * 2);
#pragma unroll
  for (int j = 0; j < kGroup<kColumns> / 8; ++j) {
    const int column = j * 8 + lane % 4 * 2;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float* const pair = sums + 4 * (group * kGroup<kColumns> / 8 + j) + 2 * half;
      Pair* const at = reinterpret_cast<Pair*>(
          held + held_at<kColumns, Store>(lane / 4 + 8 * half, column / kValues) + column % kValues);
      if constexpr (kPrepares<Store>)
        *at = Store::Held::hold(*at, pair[0], pair[1]);
      else
        *at = Store::Held::hold(bias_of[j], pair[0], pair[1]);
    }
  }
}

// The chunks of a group that a lane stores.
template <int kColumns, typename Store>
struct LaneChunks {
  static constexpr int kChunks = kGroup<kColumns> / kChunk<Store>;  // of a row
  static constexpr int kRows = kWarp / kChunks;                     // at a time
  static constexpr int kTurns = 16 / kRows;
  using Chunk = ChunkOf<Store>;

  // body(turn, where it is held, its row, its column) for those of a group that are of the result, kAtOnce of
  // them computed side by side.
  template <int kAtOnce = kTurns, typename Body>
  __device__ static void for_each(ValueOf<Store>* held, int group, const StripPlace& place,
                                  const Body& body) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp, chunk = lane % kChunks;
    const int column = place.column + group * kGroup<kColumns> + chunk * kChunk<Store>;
    const auto for_turns = [&](auto whole) {
#pragma unroll kAtOnce
      for (int turn = 0; turn < kTurns; ++turn) {
        const int row = turn * kRows + lane / kChunks;
        if (decltype(whole)::value || (place.row + row < place.rows && column < place.out))
          body(turn, reinterpret_cast<Chunk*>(held + held_at<kColumns, Store>(row, chunk)), place.row + row,
               column);
      }
    };
    const bool is_whole =
        place.row + 16 <= place.rows && place.column + (group + 1) * kGroup<kColumns> <= place.out;
    is_whole ? for_turns(std::true_type{}) : for_turns(std::false_type{});
  }
};

// Where a chunk of a result of tiles belongs.
template <typename Store>
__device__ uint4* tile_chunk_of(const Store& store, int row, int column) {
  return reinterpret_cast<uint4*>(store.y.at(row, column));
}

// Holds and stores a strip, group after group in the same kGroupValues values.
template <int kColumns, typename Store>
__device__ void store_strip(ValueOf<Store>* held, const float (&sums)[kColumns / 2], const StripPlace& place,
                            const Store& store) {
  using Chunks = LaneChunks<kColumns, Store>;
  using Chunk = ChunkOf<Store>;
#pragma unroll
  for (int group = 0; group < kGroups<kColumns>; ++group) {
    const int column = place.column + group * kGroup<kColumns>;
    if (column >= place.out) return;
    const auto hold = [&] {
      hold_group<kColumns, Store>(held, sums, group, store.bias ? store.bias + column : nullptr);
      __syncwarp();
    };
    const auto for_chunks = [&](const auto& body) { Chunks::for_each(held, group, place, body); };
    if constexpr (kHoldsRows<Store>) {
      typename Store::Before before[Chunks::kTurns] = {};
      for_chunks([&](int turn, Chunk*, int row, int of_row) { before[turn] = store.before(row, of_row); });
      hold();
      for_chunks(
          [&](int turn, Chunk* at, int row, int of_row) { store.chunk(row, of_row, *at, before[turn]); });
    } else {
      if constexpr (kPrepares<Store>) {
        for_chunks([&](int, Chunk* at, int row, int of_row) {
          *at = store.prepare(row, of_row, store.input(row, of_row));
        });
        __syncwarp();
      }
      hold();
      for_chunks([&](int, Chunk* at, int row, int of_row) {
        if constexpr (kStoresTiles<Store>)
          *tile_chunk_of(store, row, of_row) = store.chunk(row, of_row, *at);
        else
          store.chunk(row, of_row, *at);
      });
    }
    __syncwarp();
  }
}

}  // namespace albert::cuda
