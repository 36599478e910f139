// Attention of bf16 heads on the tensor cores: a block takes tiles of a head's queries past its keys, a tile
// at a time, with the running maximum and sum of Milakov and Gimelshein 2018 (arXiv 1805.02867). By mma.sync
// on any GPU, and for tiles of 64 values by wgmma on those of compute capability 9.0a.
#pragma once

#include "cuda/attention.cuh"
#include "cuda/hopper.cuh"

namespace albert::cuda::attention {

constexpr int kKeyColumns = kTile / 8;

// Where the context goes: to rows of fp32, and rounded to the tiles of a product, either unless null.
struct ContextPlace {
  float* rows;
  int64_t stride;
  Tiles rounded;
};

// A tile of a sequence's queries, and the keys that they look at.
struct TilePlace {
  int first_query, queries;  // of all; 64, or fewer at the end of the sequence and none past it
  int first_row, keys;
  const int32_t* query_row;

  // `within`: the first query, counted in the sequence.
  __device__ TilePlace(const DeviceSegments& segments, int sequence, int within)
      : first_query(segments.first_query[sequence] + within),
        queries(max(0, min(kTile, segments.first_query[sequence + 1] - first_query))),
        first_row(segments.first_row[sequence]),
        keys(segments.keys[sequence]),
        query_row(segments.query_row + first_query) {}

  // In the tile of keys from `first_key` on.
  __device__ int keys_from(int first_key) const { return min(kTile, keys - first_key); }
  // The row that draws what this lane drops, of the warp's 16 from `row` on.
  __device__ int drawn_from(int row) const { return queries > 0 ? query_row[drawn_row(row, queries)] : 0; }
};

// Two pairs of a tile of keys and one of values, which take turns: one is copied while the other is read.
template <int kDepth, int kCopyThreads>
struct KeyStages {
  static constexpr int kValues = kTile * kDepth;
  uint16_t* memory;

  __device__ uint16_t* keys(int first_key) const { return memory + first_key / kTile % 2 * 2 * kValues; }
  __device__ uint16_t* values(int first_key) const { return keys(first_key) + kValues; }
  // Nothing past the last key.
  __device__ void copy(const DeviceHeads<uint16_t>& heads, const HeadRows<uint16_t>& own,
                       const TilePlace& place, int first_key) const {
    if (first_key >= place.keys) return;
    const int first = place.first_row + first_key, some = place.keys_from(first_key);
    copy_rows<kDepth, kCopyThreads>(keys(first_key), own.key, heads.stride, heads.size, first, nullptr, some);
    copy_rows<kDepth, kCopyThreads>(values(first_key), own.value, heads.stride, heads.size, first, nullptr,
                                    some);
  }
};

// The softmax of a warp's 16 queries so far: of this lane's two rows, in powers of two.
struct RunningSoftmax {
  float largest[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};

  // Scores of `some` keys become powers; what was summed up before shrinks to the new maximum.
  template <int kColumns>
  __device__ void raise(float (&scores)[kKeyColumns][4], float (&result)[kColumns][4], int some,
                        float scale_log2) {
    float most[2] = {-INFINITY, -INFINITY};
#pragma unroll
    for (int j = 0; j < kKeyColumns; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        if (some < kTile && own_column(j, e) >= some) scores[j][e] = -INFINITY;
        most[e / 2] = scores[j][e] > most[e / 2] ? scores[j][e] : most[e / 2];
      }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float before = largest[half], here = row_max(most[half]) * scale_log2;
      largest[half] = here > before ? here : before;
      const float shrink = power_of_two(before - largest[half]);
      sum[half] *= shrink;
#pragma unroll
      for (int j = 0; j < kColumns; ++j) result[j][2 * half] *= shrink, result[j][2 * half + 1] *= shrink;
    }
#pragma unroll
    for (int j = 0; j < kKeyColumns; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e)
        scores[j][e] = power_of_two(fmaf(scores[j][e], scale_log2, -largest[e / 2]));
  }

  // The weights of 16 keys from column 8 k on, as a product takes them. The sum is that of the rounded ones,
  // so that what multiplies the values adds up to one: values have much in common.
  template <bool kDrops>
  __device__ void round(uint32_t (&weights)[4], const float (&scores)[kKeyColumns][4], int k,
                        const KeptElements& kept) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float(&of)[4] = scores[k + i / 2];
      const int half = i % 2;
      const uint32_t pair = pack_bf16(of[2 * half], of[2 * half + 1]);
      sum[half] += low_bf16(pair) + high_bf16(pair);
      weights[i] = kDrops ? pair & kept.mask(k + i / 2, half) : pair;
    }
  }
};

// Stores a warp's 16 rows of the context from `row` of the tile on. Its queries, which nobody reads any more,
// make room for the rounded ones.
template <int kDepth>
__device__ void store_context(const ContextPlace& to, uint16_t* query_tile, const TilePlace& place, int row,
                              const float (&result)[kDepth / 8][4], const RunningSoftmax& softmax,
                              float kept_factor, int64_t head, int64_t size) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float total = row_sum(softmax.sum[half]), factor = place.keys > 0 ? kept_factor / total : 0;
    const int own = row + own_row(half);
    if (to.rows && own < place.queries)
      store_row(to.rows + (place.first_query + own) * to.stride + head * size, result, half, factor, size);
    if (to.rounded.values)
#pragma unroll
      for (int j = 0; j < kDepth / 8; ++j)
        *reinterpret_cast<uint32_t*>(query_tile + swizzled<kDepth>(own, j) + own_column(0, 0)) =
            pack_bf16(result[j][2 * half] * factor, result[j][2 * half + 1] * factor);
  }
  if (!to.rounded.values) return;
  __syncwarp();
  constexpr int kChunks = kDepth / kTileChunk;
  for (int i = static_cast<int>(threadIdx.x) % kWarp; i < 16 * kChunks; i += kWarp) {
    const int own = row + i / kChunks, chunk = i % kChunks;
    if (own < place.queries && chunk * kTileChunk < size)
      *reinterpret_cast<uint4*>(to.rounded.at(place.first_query + own, head * size + chunk * kTileChunk)) =
          *reinterpret_cast<const uint4*>(query_tile + swizzled<kDepth>(own, chunk));
  }
}

// ---- by mma.sync, a tile of queries to a block

// Of a multiprocessor, by the registers of a sum and a tile of scores.
constexpr int blocks_at_once(int depth) { return depth <= 64 ? 4 : 2; }

template <int kDepth, bool kDrops>
__global__ void __launch_bounds__(kThreads, blocks_at_once(kDepth))
    attention_mma_kernel(ContextPlace context, DeviceHeads<uint16_t> heads, DeviceSegments segments,
                         Dropout dropout, float kept_factor, float scale_log2) {
  follow_previous();
  uint16_t* const query_tile = dynamic_shared<uint16_t>();
  const KeyStages<kDepth, kThreads> stages{query_tile + kTile * kDepth};
  const int64_t head = blockIdx.y;
  const HeadRows<uint16_t> own = heads.of(head);
  const TilePlace place(segments, segments.tile_sequence[blockIdx.x], segments.tile_begin[blockIdx.x]);
  const int row = static_cast<int>(threadIdx.x) / kWarp * 16;
  copy_rows<kDepth>(query_tile, own.query, heads.stride, heads.size, 0, place.query_row, place.queries);
  stages.copy(heads, own, place, 0);
  const int64_t dropout_row = head * heads.rows + place.drawn_from(row);

  RunningSoftmax softmax;
  float result[kDepth / 8][4] = {};
  for (int first_key = 0; first_key < place.keys; first_key += kTile) {
    finish_copies();  // the stage is complete, and everybody has left the other
    stages.copy(heads, own, place, first_key + kTile);
    if (row >= place.queries) continue;
    float scores[kKeyColumns][4] = {};
#pragma unroll 1
    for (int step = 0; step < kDepth / 16; ++step) {
      uint32_t rows[4];
      load_rows<kDepth>(rows, query_tile, row, step);
      multiply_rows<kDepth>(scores, rows, stages.keys(first_key), 0, step);
    }
    softmax.raise(scores, result, place.keys_from(first_key), scale_log2);
    KeptElements kept{};
    if constexpr (kDrops) kept = exchange_kept(draw_kept(dropout, dropout_row, first_key));
#pragma unroll
    for (int k = 0; k < kKeyColumns; k += 2) {
      uint32_t weights[4];
      softmax.round<kDrops>(weights, scores, k, kept);
      multiply_step<kDepth>(result, weights, stages.values(first_key), k * 8);
    }
  }
  finish_copies();  // of the queries, where there is no key; and everybody has left them
  store_context<kDepth>(context, query_tile, place, row, result, softmax, kept_factor, head, heads.size);
}

// ---- by wgmma, two neighbouring tiles of a sequence to a block, a warpgroup each

constexpr int kHopperThreads = 2 * kThreads;
// Tiles of queries, then stages of keys and values.
constexpr size_t kHopperSharedBytes = kTileAlignment + 6 * kTileBytes;

template <bool kDrops>
__global__ void __launch_bounds__(kHopperThreads, 2)
    attention_hopper_kernel(ContextPlace context, DeviceHeads<uint16_t> heads, DeviceSegments segments,
                            Dropout dropout, float kept_factor, float scale_log2) {
#if defined(ALBERT_HOPPER)
  follow_previous();
  const int begin = segments.tile_begin[blockIdx.x];
  if (begin / kTile % 2 == 1) return;  // the block before takes this tile, too
  const int warpgroup = static_cast<int>(threadIdx.x) / kThreads;
  uint16_t* const tiles = reinterpret_cast<uint16_t*>(align_tiles(dynamic_shared<unsigned char>()));
  uint16_t* const query_tile = tiles + warpgroup * kTileValues;
  const KeyStages<kTile, kHopperThreads> stages{tiles + 2 * kTileValues};
  const int64_t head = blockIdx.y;
  const HeadRows<uint16_t> own = heads.of(head);
  const TilePlace place(segments, segments.tile_sequence[blockIdx.x], begin + warpgroup * kTile);
  const int row = static_cast<int>(threadIdx.x) % kThreads / kWarp * 16;
  copy_rows<kTile>(query_tile, own.query, heads.stride, heads.size, 0, place.query_row, place.queries);
  stages.copy(heads, own, place, 0);
  const int64_t dropout_row = head * heads.rows + place.drawn_from(row);
  const auto finish_stage = [] {
    commit_copies();
    wait_for_copies<0>();
    publish_shared();
    __syncthreads();
  };

  RunningSoftmax softmax;
  float scores[kKeyColumns][4], result[kTile / 8][4] = {};
  for (int first_key = 0; first_key < place.keys; first_key += kTile) {
    finish_stage();  // it is complete, and everybody has left the other
    stages.copy(heads, own, place, first_key + kTile);
    if (place.queries == 0) continue;
    begin_products();
#pragma unroll
    for (int step = 0; step < kTile / 16; ++step)
      multiply_add_tiles<kTile, false>(in_a_row(scores), query_tile, stages.keys(first_key), step, step > 0);
    commit_products();
    wait_for_products<0>();
    settle(scores);
    softmax.raise(scores, result, place.keys_from(first_key), scale_log2);
    KeptElements kept{};
    if constexpr (kDrops) kept = exchange_kept(draw_kept(dropout, dropout_row, first_key));
    uint32_t weights[kTile / 16][4];
#pragma unroll
    for (int step = 0; step < kTile / 16; ++step)
      softmax.round<kDrops>(weights[step], scores, 2 * step, kept);
    begin_products();
#pragma unroll
    for (int step = 0; step < kTile / 16; ++step)
      multiply_add_columns(in_a_row(result), weights[step], stages.values(first_key), step);
    commit_products();
    wait_for_products<0>();
    settle(result);
  }
  finish_stage();  // of the queries, where there is no key; and everybody has left them
  if (place.queries > 0)
    store_context<kTile>(context, query_tile, place, row, result, softmax, kept_factor, head, heads.size);
#endif
}

}  // namespace albert::cuda::attention
