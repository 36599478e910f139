// Attention of fp32 heads by fused multiply-adds: a block takes a tile of a head's queries past its keys, a
// tile at a time, with the running maximum and sum of Milakov and Gimelshein 2018 (arXiv 1805.02867).
#pragma once

#include <type_traits>

#include "cuda/attention.cuh"

namespace albert::cuda::attention {

// A block is a grid of 16 x 16 threads. Thread (r, c) computes the scores of rows 4 r to 4 r + 3 with columns
// c, c + 16, c + 32 and c + 48, and of the same rows of the context the values that FloatTile::column() says.
constexpr int kGrid = 16, kGridThreads = kGrid * kGrid, kSide = kTile / kGrid;

__device__ inline int grid_row(int i) { return static_cast<int>(threadIdx.x) / kGrid * kSide + i; }
__device__ inline int grid_column(int j) { return static_cast<int>(threadIdx.x) % kGrid + j * kGrid; }

// Over the 16 threads that share rows.
__device__ inline float grid_row_max(float x) {
#pragma unroll
  for (int bits = kGrid / 2; bits > 0; bits /= 2) {
    const float other = __shfl_xor_sync(kAllLanes, x, bits);
    x = other > x ? other : x;
  }
  return x;
}
__device__ inline float grid_row_sum(float x) {
#pragma unroll
  for (int bits = kGrid / 2; bits > 0; bits /= 2) x += __shfl_xor_sync(kAllLanes, x, bits);
  return x;
}

// 64 rows of kDepth values in shared memory, zeros past the head's; the same chunk of eight neighbouring rows
// lies in different banks.
template <int kDepth>
struct FloatTile {
  static constexpr int kPitch = kDepth + 4, kValues = kTile * kPitch;
  static constexpr int kOwn = kDepth / kGrid;  // values of a row that a thread sums up
  static constexpr int kGroup = kOwn < 4 ? kOwn : 4;
  using Group = std::conditional_t<kGroup == 4, FourFloats, TwoFloats>;

  float* values;

  // Where group g of a thread's own values begins in a row.
  __device__ static int column(int g) { return (g * kGrid + static_cast<int>(threadIdx.x) % kGrid) * kGroup; }
  __device__ float& at(int row, int column) const { return values[row * kPitch + column]; }
  __device__ FourFloats four(int row, int column) const {
    return *reinterpret_cast<const FourFloats*>(&at(row, column));
  }
  __device__ Group group(int row, int g) const {
    return *reinterpret_cast<const Group*>(&at(row, column(g)));
  }

  // `rows` null: the rows from `first` on. They have arrived after finish_copies().
  __device__ void copy(const float* matrix, int64_t stride, int64_t size, int first, const int32_t* rows,
                       int count) const {
    constexpr int kChunk = 4, kChunks = kDepth / kChunk;
    const bool aligned =
        stride % kChunk == 0 && reinterpret_cast<uintptr_t>(matrix) % sizeof(FourFloats) == 0;
    for (int i = static_cast<int>(threadIdx.x); i < kTile * kChunks; i += kGridThreads) {
      const int row = i / kChunks, chunk = i % kChunks;
      float* const to = &at(row, chunk * kChunk);
      const bool valid = row < count;
      const float* const from =
          matrix + int64_t{valid ? (rows ? rows[row] : first + row) : 0} * stride + chunk * kChunk;
      const int left = static_cast<int>(size) - chunk * kChunk;
      if (aligned && (left >= kChunk || !valid)) {
        copy_async_16(to, valid ? from : matrix, valid);
      } else {
        for (int e = 0; e < kChunk; ++e) to[e] = valid && e < left ? from[e] : 0;
      }
    }
  }
};

// c = a b^T of this thread's rows of a and columns, rows of b.
template <int kDepth>
__device__ void multiply_rows(float (&c)[kSide][kSide], const FloatTile<kDepth>& a,
                              const FloatTile<kDepth>& b) {
#pragma unroll
  for (int i = 0; i < kSide; ++i)
#pragma unroll
    for (int j = 0; j < kSide; ++j) c[i][j] = 0;
#pragma unroll 1
  for (int d = 0; d < kDepth; d += 4) {
    FourFloats rows[kSide], columns[kSide];
#pragma unroll
    for (int i = 0; i < kSide; ++i) rows[i] = a.four(grid_row(i), d);
#pragma unroll
    for (int j = 0; j < kSide; ++j) columns[j] = b.four(grid_column(j), d);
#pragma unroll
    for (int e = 0; e < 4; ++e)
#pragma unroll
      for (int i = 0; i < kSide; ++i)
#pragma unroll
        for (int j = 0; j < kSide; ++j) c[i][j] = fmaf(rows[i].of[e], columns[j].of[e], c[i][j]);
  }
}

// c += a b of this thread's rows of a and its own values of each row.
template <int kDepth>
__device__ void multiply_columns(float (&c)[kSide][FloatTile<kDepth>::kOwn], const FloatTile<kTile>& a,
                                 const FloatTile<kDepth>& b) {
  using Tile = FloatTile<kDepth>;
#pragma unroll 1
  for (int k = 0; k < kTile; k += 4) {
    FourFloats factors[kSide];
#pragma unroll
    for (int i = 0; i < kSide; ++i) factors[i] = a.four(grid_row(i), k);
#pragma unroll
    for (int e = 0; e < 4; ++e)
#pragma unroll
      for (int g = 0; g < Tile::kOwn / Tile::kGroup; ++g) {
        const typename Tile::Group values = b.group(k + e, g);
#pragma unroll
        for (int i = 0; i < kSide; ++i)
#pragma unroll
          for (int v = 0; v < Tile::kGroup; ++v)
            c[i][g * Tile::kGroup + v] = fmaf(factors[i].of[e], values.of[v], c[i][g * Tile::kGroup + v]);
      }
  }
}

// What dropout keeps of this thread's scores, of queries and 64 keys from first_key on. A draw decides on
// four keys of one query: a thread draws for its four rows and the c-th four keys, and finds its columns'
// bits at others.
struct KeptScores {
  uint32_t of_column[kSide];  // bit 4 i + c % 4

  __device__ KeptScores() : of_column{~0u, ~0u, ~0u, ~0u} {}
  // row_of(i): the query of row i for dropout.
  template <typename RowOf>
  __device__ KeptScores(const Dropout& dropout, const RowOf& row_of, int first_key) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp, c = lane % kGrid;
    const uint32_t threshold = drop_threshold(dropout);
    uint32_t drawn = 0;
#pragma unroll
    for (int i = 0; i < kSide; ++i) {
      const uint64_t index =
          static_cast<uint64_t>(row_of(i)) << 16 | static_cast<uint64_t>(first_key / 4 + c);
      const Philox4 random = philox(dropout.seed, dropout.stream, index);
#pragma unroll
      for (int e = 0; e < 4; ++e) drawn |= static_cast<uint32_t>(random.word[e] >= threshold) << (4 * i + e);
    }
#pragma unroll
    for (int j = 0; j < kSide; ++j)
      of_column[j] = __shfl_sync(kAllLanes, drawn, lane / kGrid * kGrid + (c + j * kGrid) / 4);
  }
  __device__ bool has(int i, int j) const {
    return of_column[j] >> (4 * i + static_cast<int>(threadIdx.x) % 4) & 1;
  }
};

// This thread's part of a row times `factor`.
template <int kDepth>
__device__ void store_own(float* to, const float (&values)[FloatTile<kDepth>::kOwn], float factor,
                          int64_t size) {
  using Tile = FloatTile<kDepth>;
#pragma unroll
  for (int d = 0; d < Tile::kOwn; ++d)
    if (const int at = Tile::column(d / Tile::kGroup) + d % Tile::kGroup; at < size)
      to[at] = values[d] * factor;
}

template <int kDepth>
constexpr size_t float_tiles_bytes() {
  using Tile = FloatTile<kDepth>;
  using Weights = FloatTile<kTile>;
  return sizeof(float) *
         (2 * Tile::kValues + (Tile::kValues > Weights::kValues ? Tile::kValues : Weights::kValues));
}

template <int kDepth, bool kDrops>
__global__ void __launch_bounds__(kGridThreads, 2)
    attention_fp32_kernel(float* context, int64_t context_stride, DeviceHeads<float> heads,
                          DeviceSegments segments, Dropout dropout, float kept_factor, float scale) {
  using Tile = FloatTile<kDepth>;
  const Tile query_tile{dynamic_shared<float>()}, value_tile{query_tile.values + Tile::kValues};
  const Tile key_tile{value_tile.values + Tile::kValues};
  const FloatTile<kTile> weights{key_tile.values};  // which take the keys' place
  const int s = segments.tile_sequence[blockIdx.x], begin = segments.tile_begin[blockIdx.x];
  const int64_t first_query = segments.first_query[s] + begin, head = blockIdx.y;
  const int64_t left = segments.first_query[s + 1] - first_query;
  const int queries = left < kTile ? static_cast<int>(left) : kTile, keys = segments.keys[s];
  const int first_row = segments.first_row[s];
  const int32_t* const query_row = segments.query_row + first_query;
  const HeadRows<float> own = heads.of(head);
  query_tile.copy(own.query, heads.stride, heads.size, 0, query_row, queries);

  float largest[kSide], sum[kSide] = {}, result[kSide][Tile::kOwn] = {};  // the sum of this thread's columns
#pragma unroll
  for (int i = 0; i < kSide; ++i) largest[i] = -INFINITY;
  for (int first_key = 0; first_key < keys; first_key += kTile) {
    const int some = keys - first_key < kTile ? keys - first_key : kTile;
    __syncthreads();  // everybody has left the tiles
    key_tile.copy(own.key, heads.stride, heads.size, first_row + first_key, nullptr, some);
    value_tile.copy(own.value, heads.stride, heads.size, first_row + first_key, nullptr, some);
    finish_copies();
    float scores[kSide][kSide];
    multiply_rows(scores, query_tile, key_tile);
    KeptScores kept;
    if constexpr (kDrops) {
      const auto row_of = [&](int i) {
        return head * heads.rows + query_row[grid_row(i) < queries ? grid_row(i) : queries - 1];
      };
      kept = KeptScores(dropout, row_of, first_key);
    }
    __syncthreads();  // everybody has left the keys
#pragma unroll
    for (int i = 0; i < kSide; ++i) {
      float most = -INFINITY;
#pragma unroll
      for (int j = 0; j < kSide; ++j) {
        scores[i][j] = grid_column(j) < some ? scores[i][j] * scale : -INFINITY;
        most = scores[i][j] > most ? scores[i][j] : most;
      }
      const float before = largest[i], here = grid_row_max(most);
      largest[i] = here > before ? here : before;
      const float shrink = expf(before - largest[i]);
      sum[i] *= shrink;
#pragma unroll
      for (int d = 0; d < Tile::kOwn; ++d) result[i][d] *= shrink;
#pragma unroll
      for (int j = 0; j < kSide; ++j) {
        const float weight = expf(scores[i][j] - largest[i]);
        sum[i] += weight;
        weights.at(grid_row(i), grid_column(j)) = kept.has(i, j) ? weight : 0;
      }
    }
    __syncthreads();  // the weights are complete
    multiply_columns(result, weights, value_tile);
  }

#pragma unroll
  for (int i = 0; i < kSide; ++i) {
    const float total = grid_row_sum(sum[i]), factor = keys > 0 ? kept_factor / total : 0;
    if (const int row = grid_row(i); row < queries)
      store_own<kDepth>(context + (first_query + row) * context_stride + head * heads.size, result[i], factor,
                        heads.size);
  }
}

}  // namespace albert::cuda::attention
