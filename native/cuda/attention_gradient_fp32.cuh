// The gradient of attention of fp32 heads, as attention_gradient.cu has it: a tile of queries or keys to a
// block, or one of them to a warp where heads are too large for tiles.
#pragma once

#include <algorithm>

#include "cuda/attention_fp32.cuh"

namespace albert::cuda::attention {

struct AttentionGradients {
  float* dqkv;            // [N, stride]: query, key and value
  const float* dcontext;  // [N, context_stride]
  int64_t stride, context_stride, hidden;
};

struct QueryStatistics {
  float largest, inverse, shared;  // of softmax; rowsum(P dP)
};

struct FloatGradients {
  AttentionGradients of;
  QueryStatistics* statistics;  // [A, N], written by queries and read by keys
  float kept_factor, scale;
};

// ---- a tile of a head's queries or keys to a block

// A block goes past the keys twice: forwards for the rows' statistics, and backwards for dQ, so that the last
// tile, whose products it still holds, is the first.
template <int kDepth>
__global__ void __launch_bounds__(kGridThreads, kDepth <= 64 ? 2 : 1)
    query_gradient_fp32_kernel(FloatGradients gradients, DeviceHeads<float> heads, DeviceSegments segments,
                               Dropout dropout) {
  using Tile = FloatTile<kDepth>;
  const Tile query_tile{dynamic_shared<float>()}, dcontext_tile{query_tile.values + Tile::kValues};
  const Tile key_tile{dcontext_tile.values + Tile::kValues}, value_tile{key_tile.values + Tile::kValues};
  const FloatTile<kTile> dscores{value_tile.values};  // which take the values' place
  const int s = segments.tile_sequence[blockIdx.x], begin = segments.tile_begin[blockIdx.x];
  const int first = segments.first_row[s], first_query = first + begin;
  const int left = segments.rows[s] - begin, queries = left < kTile ? left : kTile;
  const int keys = segments.keys[s], tiles = divide_up(keys, kTile);
  const int64_t head = blockIdx.y, column = head * heads.size;
  const HeadRows<float> own = heads.of(head);
  query_tile.copy(own.query, heads.stride, heads.size, first_query, nullptr, queries);
  dcontext_tile.copy(gradients.of.dcontext + column, gradients.of.context_stride, heads.size, first_query,
                     nullptr, queries);

  float scores[kSide][kSide], dweights[kSide][kSide];  // of keys past the last: -infinity, and 0
  KeptScores kept;
  const auto multiply = [&](int tile) {
    const int some = keys - tile * kTile < kTile ? keys - tile * kTile : kTile,
              first_key = first + tile * kTile;
    __syncthreads();  // everybody has left the tiles
    key_tile.copy(own.key, heads.stride, heads.size, first_key, nullptr, some);
    value_tile.copy(own.value, heads.stride, heads.size, first_key, nullptr, some);
    finish_copies();
    multiply_rows(scores, query_tile, key_tile);
    multiply_rows(dweights, dcontext_tile, value_tile);
#pragma unroll
    for (int i = 0; i < kSide; ++i)
#pragma unroll
      for (int j = 0; j < kSide; ++j)
        scores[i][j] = grid_column(j) < some ? scores[i][j] * gradients.scale : -INFINITY;
    if (dropout.probability > 0) {
      const auto row_of = [&](int i) {
        return head * heads.rows + first_query + (grid_row(i) < queries ? grid_row(i) : queries - 1);
      };
      kept = KeptScores(dropout, row_of, tile * kTile);
    }
  };

  float largest[kSide], inverse[kSide], sum[kSide] = {}, shared[kSide] = {};
#pragma unroll
  for (int i = 0; i < kSide; ++i) largest[i] = -INFINITY;
  for (int tile = 0; tile < tiles; ++tile) {
    multiply(tile);
#pragma unroll
    for (int i = 0; i < kSide; ++i) {
      float most = -INFINITY;
#pragma unroll
      for (int j = 0; j < kSide; ++j) most = scores[i][j] > most ? scores[i][j] : most;
      const float before = largest[i], here = grid_row_max(most);
      largest[i] = here > before ? here : before;
      const float shrink = expf(before - largest[i]);
      sum[i] *= shrink, shared[i] *= shrink;
#pragma unroll
      for (int j = 0; j < kSide; ++j) {
        const float weight = expf(scores[i][j] - largest[i]);
        sum[i] += weight;
        if (kept.has(i, j)) shared[i] = fmaf(weight, dweights[i][j], shared[i]);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kSide; ++i) {
    inverse[i] = 1 / grid_row_sum(sum[i]);
    shared[i] = grid_row_sum(shared[i]) * gradients.kept_factor * inverse[i];
    if (grid_column(0) == 0 && grid_row(i) < queries)
      gradients.statistics[head * heads.rows + first_query + grid_row(i)] = {largest[i], inverse[i],
                                                                             shared[i]};
  }

  float dquery[kSide][Tile::kOwn] = {};
  for (int tile = tiles - 1; tile >= 0; --tile) {
    __syncthreads();  // everybody has left the values
#pragma unroll
    for (int i = 0; i < kSide; ++i)
#pragma unroll
      for (int j = 0; j < kSide; ++j) {
        const float p = expf(scores[i][j] - largest[i]) * inverse[i];
        const float dp = kept.has(i, j) ? dweights[i][j] : 0;
        dscores.at(grid_row(i), grid_column(j)) = p * fmaf(dp, gradients.kept_factor, -shared[i]);
      }
    __syncthreads();  // they are complete
    multiply_columns(dquery, dscores, key_tile);
    if (tile > 0) multiply(tile - 1);
  }
#pragma unroll
  for (int i = 0; i < kSide; ++i)
    if (const int row = grid_row(i); row < queries)
      store_own<kDepth>(gradients.of.dqkv + (first_query + row) * gradients.of.stride + column, dquery[i],
                        gradients.scale, heads.size);
}

// The scores and their gradients are transposed: a row is a key.
template <int kDepth>
__global__ void __launch_bounds__(kGridThreads, kDepth <= 64 ? 2 : 1)
    key_gradient_fp32_kernel(FloatGradients gradients, DeviceHeads<float> heads, DeviceSegments segments,
                             Dropout dropout) {
  using Tile = FloatTile<kDepth>;
  const Tile key_tile{dynamic_shared<float>()}, value_tile{key_tile.values + Tile::kValues};
  const Tile query_tile{value_tile.values + Tile::kValues}, dcontext_tile{query_tile.values + Tile::kValues};
  const FloatTile<kTile> factors{dcontext_tile.values + Tile::kValues};  // of dV, then of dK
  const int s = segments.tile_sequence[blockIdx.x], begin = segments.tile_begin[blockIdx.x];
  const int first = segments.first_row[s], first_key = first + begin;
  const int left = segments.rows[s] - begin, rows = left < kTile ? left : kTile;
  const int keys_left = segments.keys[s] - begin, keys = keys_left < rows ? keys_left : rows;
  const int queries = keys > 0 ? segments.rows[s] : 0;  // rows that are no keys have no gradient
  const int64_t head = blockIdx.y, column = head * heads.size;
  const HeadRows<float> own = heads.of(head);
  key_tile.copy(own.key, heads.stride, heads.size, first_key, nullptr, keys);
  value_tile.copy(own.value, heads.stride, heads.size, first_key, nullptr, keys);

  float dkey[kSide][Tile::kOwn] = {}, dvalue[kSide][Tile::kOwn] = {};
  for (int first_query = 0; first_query < queries; first_query += kTile) {
    const int some = queries - first_query < kTile ? queries - first_query : kTile;
    const int first_row = first + first_query;
    __syncthreads();  // everybody has left the tiles
    query_tile.copy(own.query, heads.stride, heads.size, first_row, nullptr, some);
    dcontext_tile.copy(gradients.of.dcontext + column, gradients.of.context_stride, heads.size, first_row,
                       nullptr, some);
    finish_copies();
    float scores[kSide][kSide], dweights[kSide][kSide];
    multiply_rows(scores, key_tile, query_tile);
    multiply_rows(dweights, value_tile, dcontext_tile);
#pragma unroll
    for (int j = 0; j < kSide; ++j) {
      const bool is_query = grid_column(j) < some;
      const int64_t query = head * heads.rows + first_row + (is_query ? grid_column(j) : 0);
      const QueryStatistics of_query = gradients.statistics[query];
      float kept[kSide] = {1, 1, 1, 1};  // one draw decides on this thread's four keys
      if (dropout.probability > 0) keep_factors(kept, dropout, query, begin + grid_row(0));
#pragma unroll
      for (int i = 0; i < kSide; ++i) {
        const float p =
            is_query ? expf(scores[i][j] * gradients.scale - of_query.largest) * of_query.inverse : 0;
        factors.at(grid_row(i), grid_column(j)) = kept[i] * p;
        dweights[i][j] = p * fmaf(dweights[i][j], kept[i], -of_query.shared);  // of the score
      }
    }
    __syncthreads();  // the factors are complete
    multiply_columns(dvalue, factors, dcontext_tile);
    __syncthreads();  // everybody has left the factors
#pragma unroll
    for (int i = 0; i < kSide; ++i)
#pragma unroll
      for (int j = 0; j < kSide; ++j) factors.at(grid_row(i), grid_column(j)) = dweights[i][j];
    __syncthreads();  // the factors are complete
    multiply_columns(dkey, factors, query_tile);
  }
#pragma unroll
  for (int i = 0; i < kSide; ++i) {
    const int row = grid_row(i);
    if (row >= rows) continue;
    float* const to = gradients.of.dqkv + (first_key + row) * gradients.of.stride + column;
    if (row >= keys)  // no key: its scores of 0 may have overflowed beside those of the keys
#pragma unroll
      for (int d = 0; d < Tile::kOwn; ++d) dkey[i][d] = dvalue[i][d] = 0;
    store_own<kDepth>(to + gradients.of.hidden, dkey[i], gradients.scale, heads.size);
    store_own<kDepth>(to + 2 * gradients.of.hidden, dvalue[i], 1, heads.size);
  }
}

// Shared memory of a block of each of the two kernels.
template <int kDepth>
constexpr size_t query_gradient_bytes() {
  return sizeof(float) *
         (3 * FloatTile<kDepth>::kValues + std::max(FloatTile<kDepth>::kValues, FloatTile<kTile>::kValues));
}
template <int kDepth>
constexpr size_t key_gradient_bytes() {
  return sizeof(float) * (4 * FloatTile<kDepth>::kValues + FloatTile<kTile>::kValues);
}

template <int kDepth>
void launch_float_tiles(const FloatGradients& gradients, const DeviceHeads<float>& heads, int64_t head_count,
                        const DeviceSegments& segments, const Dropout& dropout, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(segments.tiles), static_cast<unsigned>(head_count));
  launch(query_gradient_fp32_kernel<kDepth>, grid, kGridThreads, query_gradient_bytes<kDepth>(), stream,
         gradients, heads, segments, dropout);
  launch(key_gradient_fp32_kernel<kDepth>, grid, kGridThreads, key_gradient_bytes<kDepth>(), stream,
         gradients, heads, segments, dropout);
}

// ---- a warp for each query or key of each head

__global__ void __launch_bounds__(kThreads)
    query_gradient_kernel(FloatGradients gradients, DeviceHeads<float> heads, DeviceSegments segments,
                          Dropout dropout) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t row = int64_t{blockIdx.x} * kWarps + warp, head = blockIdx.y;
  if (row >= segments.total_queries) return;
  float* const scores = dynamic_shared<float>() + warp * segments.most_keys;
  const int s = segments.sequence_of[row], keys = segments.keys[s];
  const int64_t first = segments.first_row[s];
  const HeadRows<float> own = heads.of(head);
  const float* const dcontext = gradients.of.dcontext + row * gradients.of.context_stride + head * heads.size;
  for (int k = lane; k < keys; k += kWarp)
    scores[k] = gradients.scale *
                dot(own.query + row * heads.stride, own.key + (first + k) * heads.stride, heads.size);
  const Softmax of_row = softmax(scores, keys);
  const auto product = [&](int k) {  // P dP
    float dp = dot(dcontext, own.value + (first + k) * heads.stride, heads.size);
    if (dropout.probability > 0) dp *= keep_factor(dropout, head * heads.rows + row, k);
    return scores[k] * dp;
  };
  float shared = 0;
  for (int k = lane; k < keys; k += kWarp) shared += product(k);
  shared = warp_sum(shared);
  for (int k = lane; k < keys; k += kWarp) scores[k] = gradients.scale * (product(k) - scores[k] * shared);
  __syncwarp();
  float* const dquery = gradients.of.dqkv + row * gradients.of.stride + head * heads.size;
  for (int64_t d = lane; d < heads.size; d += kWarp) {
    float sum = 0;
    for (int k = 0; k < keys; ++k) sum = fmaf(scores[k], own.key[(first + k) * heads.stride + d], sum);
    dquery[d] = sum;
  }
  if (lane == 0) gradients.statistics[head * heads.rows + row] = {of_row.largest, of_row.inverse, shared};
}

__global__ void __launch_bounds__(kThreads)
    key_gradient_kernel(FloatGradients gradients, DeviceHeads<float> heads, DeviceSegments segments,
                        Dropout dropout) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t row = int64_t{blockIdx.x} * kWarps + warp, head = blockIdx.y;
  if (row >= segments.total_rows) return;
  float* const kept = dynamic_shared<float>() + 2 * warp * segments.most_rows;
  float* const dscores = kept + segments.most_rows;
  const int s = segments.sequence_of[row];
  const int64_t first = segments.first_row[s], key = row - first;
  const int queries = key < segments.keys[s] ? segments.rows[s] : 0;  // a row that is no key has no gradient
  const HeadRows<float> own = heads.of(head);
  const auto dcontext = [&](int64_t query) {
    return gradients.of.dcontext + query * gradients.of.context_stride + head * heads.size;
  };
  for (int i = lane; i < queries; i += kWarp) {
    const int64_t query = first + i;
    const QueryStatistics of_query = gradients.statistics[head * heads.rows + query];
    const float score =
        gradients.scale * dot(own.query + query * heads.stride, own.key + row * heads.stride, heads.size);
    const float p = expf(score - of_query.largest) * of_query.inverse;
    const float keep = dropout.probability > 0 ? keep_factor(dropout, head * heads.rows + query, key) : 1;
    const float dp = keep * dot(dcontext(query), own.value + row * heads.stride, heads.size);
    kept[i] = keep * p;
    dscores[i] = gradients.scale * p * (dp - of_query.shared);
  }
  __syncwarp();
  float* const dkey = gradients.of.dqkv + row * gradients.of.stride + gradients.of.hidden + head * heads.size;
  for (int64_t d = lane; d < heads.size; d += kWarp) {
    float key_sum = 0, value_sum = 0;
    for (int i = 0; i < queries; ++i) {
      key_sum = fmaf(dscores[i], own.query[(first + i) * heads.stride + d], key_sum);
      value_sum = fmaf(kept[i], dcontext(first + i)[d], value_sum);
    }
    dkey[d] = key_sum;
    dkey[gradients.of.hidden + d] = value_sum;
  }
}

inline void launch_warps(const FloatGradients& gradients, const DeviceHeads<float>& heads, int64_t head_count,
                         const DeviceSegments& segments, const Dropout& dropout, cudaStream_t stream) {
  const dim3 grid = warps_of(heads.rows, head_count);
  const size_t row_bytes = kWarps * sizeof(float);
  launch(query_gradient_kernel, grid, kThreads, row_bytes * static_cast<size_t>(segments.most_keys), stream,
         gradients, heads, segments, dropout);
  launch(key_gradient_kernel, grid, kThreads, 2 * row_bytes * static_cast<size_t>(segments.most_rows), stream,
         gradients, heads, segments, dropout);
}

}  // namespace albert::cuda::attention
