// Attention over packed sequences: on the tensor cores for bf16, one query to a warp for everything else, and
// its gradient. No matrix of scores reaches the GPU's memory.
#include <cstring>

#include "cuda/backend.h"
#include "cuda/common.cuh"

namespace albert::cuda {
namespace {

constexpr int kThreads = 128, kWarps = kThreads / kWarp;

// One head's share of the queries, keys and values of all rows.
template <typename T>
struct HeadRows {
  const T *query, *key, *value;  // [rows, stride]
};

template <typename T>
struct DeviceHeads {
  const T *query, *key, *value;  // [A, rows, stride]
  int64_t rows, stride, size;

  __device__ HeadRows<T> of(int64_t head) const {
    const int64_t at = head * rows * stride;
    return {query + at, key + at, value + at};
  }
};

template <typename A, typename B>
__device__ float dot(const A* a, const B* b, int64_t size) {
  float sum = 0;
  for (int64_t d = 0; d < size; ++d) sum = fmaf(value_of(a[d]), value_of(b[d]), sum);
  return sum;
}

// ---- a warp for each query of each head

// scores[k] of a query become its probabilities, before dropout. Returns the sum's inverse and the largest
// score.
struct Softmax {
  float largest, inverse;
};
__device__ inline Softmax softmax(float* scores, int keys) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float largest = -INFINITY, sum = 0;
  for (int k = lane; k < keys; k += kWarp) largest = scores[k] > largest ? scores[k] : largest;
  largest = warp_max(largest);
  for (int k = lane; k < keys; k += kWarp) sum += scores[k] = expf(scores[k] - largest);
  const float inverse = 1 / warp_sum(sum);
  for (int k = lane; k < keys; k += kWarp) scores[k] *= inverse;
  __syncwarp();
  return {largest, inverse};
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    attention_kernel(float* context, int64_t context_stride, float* probabilities, DeviceHeads<T> heads,
                     DeviceSegments segments, Dropout dropout, float scale) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t query = int64_t{blockIdx.x} * kWarps + warp, head = blockIdx.y;
  if (query >= segments.total_queries) return;
  float* const scores = dynamic_shared<float>() + warp * segments.most_keys;
  const int s = segments.sequence_of[query], keys = segments.keys[s];
  const int64_t row = segments.query_row[query], first = segments.first_row[s];
  const HeadRows<T> own = heads.of(head);
  for (int k = lane; k < keys; k += kWarp)
    scores[k] = scale * dot(own.query + row * heads.stride, own.key + (first + k) * heads.stride, heads.size);
  softmax(scores, keys);
  if (probabilities) {
    const int64_t queries = segments.first_query[s + 1] - segments.first_query[s];
    const int64_t within = head * queries + query - segments.first_query[s];
    float* const to = probabilities + segments.probability_begin[s] + within * keys;
    for (int k = lane; k < keys; k += kWarp) to[k] = scores[k];
  }
  if (dropout.probability > 0)
    for (int k = lane; k < keys; k += kWarp) scores[k] *= keep_factor(dropout, head * heads.rows + row, k);
  __syncwarp();
  for (int64_t d = lane; d < heads.size; d += kWarp) {
    float sum = 0;
    for (int k = 0; k < keys; ++k)
      sum = fmaf(scores[k], value_of(own.value[(first + k) * heads.stride + d]), sum);
    context[query * context_stride + head * heads.size + d] = sum;
  }
}

// ---- bf16 on the tensor cores: a block takes kQueryTile queries of a head past its keys, a tile at a time,
// with the running maximum and sum of Milakov and Gimelshein 2018 (arXiv 1805.02867); a warp has 16 queries

constexpr int kKeyTile = 64, kChunk = 8;

// Where chunk `chunk` of row `row` of a tile lies, so that eight rows of one chunk lie in different banks.
template <int kDepth>
__device__ int swizzled(int row, int chunk) {
  constexpr int kChunks = kDepth / kChunk;
  return row * kDepth + (kChunks >= 8 ? chunk ^ (row % 8) : chunk ^ (row / 2 % kChunks)) * kChunk;
}

// Copies 64 rows; what lies past a row's head or past the last row is zero. `rows` null: the rows from
// `first` on.
template <int kDepth>
__device__ void copy_rows(uint16_t* tile, const uint16_t* matrix, int64_t stride, int64_t size, int64_t first,
                          const int32_t* rows, int count) {
  constexpr int kChunks = kDepth / kChunk;
  for (int i = static_cast<int>(threadIdx.x); i < 64 * kChunks; i += kThreads) {
    const int row = i / kChunks, chunk = i % kChunks;
    uint16_t* const to = tile + swizzled<kDepth>(row, chunk);
    const bool valid = row < count;
    const uint16_t* const from =
        matrix + (valid ? (rows ? rows[row] : first + row) : 0) * stride + chunk * kChunk;
    const int64_t left = size - chunk * kChunk;
    if (left >= kChunk || !valid) {
      copy_async_16(to, valid ? from : matrix, valid);
    } else {
      for (int e = 0; e < kChunk; ++e) to[e] = e < left ? from[e] : 0;
    }
  }
}

template <int kDepth>
__global__ void __launch_bounds__(kThreads)
    attention_bf16_kernel(float* context, int64_t context_stride, DeviceHeads<uint16_t> heads,
                          DeviceSegments segments, float scale_log2) {
  constexpr int kSteps = kDepth / 16, kColumns = kDepth / 8, kKeyColumns = kKeyTile / 8;
  uint16_t* const query_tile = dynamic_shared<uint16_t>();
  uint16_t* const key_tile = query_tile + kQueryTile * kDepth;
  uint16_t* const value_tile = key_tile + kKeyTile * kDepth;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int s = segments.tile_sequence[blockIdx.x], begin = segments.tile_begin[blockIdx.x];
  const int64_t first_query = segments.first_query[s] + begin, head = blockIdx.y;
  const int64_t left = segments.first_query[s + 1] - first_query;
  const int queries = left < kQueryTile ? static_cast<int>(left) : kQueryTile, keys = segments.keys[s];
  const HeadRows<uint16_t> own = heads.of(head);

  copy_rows<kDepth>(query_tile, own.query, heads.stride, heads.size, 0, segments.query_row + first_query,
                    queries);
  commit_copies();
  wait_for_copies<0>();
  __syncthreads();
  uint32_t q[kSteps][4];
#pragma unroll
  for (int step = 0; step < kSteps; ++step)
    load_matrices(q[step], query_tile + swizzled<kDepth>(warp * 16 + lane % 16, step * 2 + lane / 16));

  // Of rows lane / 4 and lane / 4 + 8 of this warp.
  float largest[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
  float result[kColumns][4] = {};
  for (int begin_key = 0; begin_key < keys; begin_key += kKeyTile) {
    const int some = keys - begin_key < kKeyTile ? keys - begin_key : kKeyTile;
    const int64_t first = segments.first_row[s] + begin_key;
    __syncthreads();  // everybody has left the tiles
    copy_rows<kDepth>(key_tile, own.key, heads.stride, heads.size, first, nullptr, some);
    copy_rows<kDepth>(value_tile, own.value, heads.stride, heads.size, first, nullptr, some);
    commit_copies();
    wait_for_copies<0>();
    __syncthreads();

    float scores[kKeyColumns][4] = {};
#pragma unroll
    for (int step = 0; step < kSteps; ++step)
#pragma unroll
      for (int pair = 0; pair < kKeyColumns / 2; ++pair) {
        uint32_t k[4];
        load_matrices(
            k, key_tile + swizzled<kDepth>(pair * 16 + lane / 16 * 8 + lane % 8, step * 2 + lane / 8 % 2));
        multiply_add(scores[2 * pair], q[step], k[0], k[1]);
        multiply_add(scores[2 * pair + 1], q[step], k[2], k[3]);
      }

    float most[2] = {largest[0], largest[1]};
#pragma unroll
    for (int column = 0; column < kKeyColumns; ++column)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        if (column * 8 + lane % 4 * 2 + e % 2 >= some) scores[column][e] = -INFINITY;
        most[e / 2] = scores[column][e] > most[e / 2] ? scores[column][e] : most[e / 2];
      }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      for (int bits = 1; bits < 4; bits *= 2) {
        const float other = __shfl_xor_sync(kAllLanes, most[half], bits);
        most[half] = other > most[half] ? other : most[half];
      }
      const float shrink = exp2f((largest[half] - most[half]) * scale_log2);
      largest[half] = most[half];
      sum[half] *= shrink;
#pragma unroll
      for (int column = 0; column < kColumns; ++column)
        result[column][2 * half] *= shrink, result[column][2 * half + 1] *= shrink;
    }
#pragma unroll
    for (int column = 0; column < kKeyColumns; ++column)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        scores[column][e] = exp2f((scores[column][e] - largest[e / 2]) * scale_log2);
        sum[e / 2] += scores[column][e];
      }

#pragma unroll
    for (int step = 0; step < kKeyTile / 16; ++step) {
      const float(&low)[4] = scores[2 * step];
      const float(&high)[4] = scores[2 * step + 1];
      const uint32_t p[4] = {pack_bf16(low[0], low[1]), pack_bf16(low[2], low[3]),
                             pack_bf16(high[0], high[1]), pack_bf16(high[2], high[3])};
#pragma unroll
      for (int pair = 0; pair < kColumns / 2; ++pair) {
        uint32_t v[4];
        load_matrices_transposed(
            v, value_tile + swizzled<kDepth>(step * 16 + lane / 8 % 2 * 8 + lane % 8, pair * 2 + lane / 16));
        multiply_add(result[2 * pair], p, v[0], v[1]);
        multiply_add(result[2 * pair + 1], p, v[2], v[3]);
      }
    }
  }

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    for (int bits = 1; bits < 4; bits *= 2) sum[half] += __shfl_xor_sync(kAllLanes, sum[half], bits);
    const float inverse = keys > 0 ? 1 / sum[half] : 0;
    const int row = warp * 16 + lane / 4 + half * 8;
    float* const to = context + (first_query + row) * context_stride + head * heads.size;
#pragma unroll
    for (int column = 0; column < kColumns; ++column)
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int d = column * 8 + lane % 4 * 2 + e;
        if (row < queries && d < heads.size) to[d] = result[column][2 * half + e] * inverse;
      }
  }
}

// ---- the gradient. With P = softmax(Q K^T / sqrt(D)), M the dropout's factors and O = (P M) V: dV = (P M)^T
// dO, dP = M dO V^T, dS = P (dP - rowsum(P dP)) / sqrt(D), dQ = dS K, dK = dS^T Q. A warp computes a query's
// row of dS, then, in a second launch, a key's column: everything is added up in one order.

struct QueryStatistics {
  float largest, inverse, shared;  // of softmax; rowsum(P dP)
};

struct AttentionGradients {
  float* dqkv;            // [N, stride]: query, key and value
  const float* dcontext;  // [N, context_stride]
  int64_t stride, context_stride, hidden;
  QueryStatistics* statistics;  // [A, N]
};

__global__ void __launch_bounds__(kThreads)
    query_gradient_kernel(AttentionGradients gradients, DeviceHeads<float> heads, DeviceSegments segments,
                          Dropout dropout, float scale) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t row = int64_t{blockIdx.x} * kWarps + warp, head = blockIdx.y;
  if (row >= segments.total_queries) return;
  float* const scores = dynamic_shared<float>() + warp * segments.most_keys;
  const int s = segments.sequence_of[row], keys = segments.keys[s];
  const int64_t first = segments.first_row[s];
  const HeadRows<float> own = heads.of(head);
  const float* const dcontext = gradients.dcontext + row * gradients.context_stride + head * heads.size;
  for (int k = lane; k < keys; k += kWarp)
    scores[k] = scale * dot(own.query + row * heads.stride, own.key + (first + k) * heads.stride, heads.size);
  const Softmax of_row = softmax(scores, keys);
  const auto product = [&](int k) {  // P dP
    float dp = dot(dcontext, own.value + (first + k) * heads.stride, heads.size);
    if (dropout.probability > 0) dp *= keep_factor(dropout, head * heads.rows + row, k);
    return scores[k] * dp;
  };
  float shared = 0;
  for (int k = lane; k < keys; k += kWarp) shared += product(k);
  shared = warp_sum(shared);
  for (int k = lane; k < keys; k += kWarp) scores[k] = scale * (product(k) - scores[k] * shared);
  __syncwarp();
  float* const dquery = gradients.dqkv + row * gradients.stride + head * heads.size;
  for (int64_t d = lane; d < heads.size; d += kWarp) {
    float sum = 0;
    for (int k = 0; k < keys; ++k) sum = fmaf(scores[k], own.key[(first + k) * heads.stride + d], sum);
    dquery[d] = sum;
  }
  if (lane == 0) gradients.statistics[head * heads.rows + row] = {of_row.largest, of_row.inverse, shared};
}

__global__ void __launch_bounds__(kThreads)
    key_gradient_kernel(AttentionGradients gradients, DeviceHeads<float> heads, DeviceSegments segments,
                        Dropout dropout, float scale) {
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
    return gradients.dcontext + query * gradients.context_stride + head * heads.size;
  };
  for (int i = lane; i < queries; i += kWarp) {
    const int64_t query = first + i;
    const QueryStatistics statistics = gradients.statistics[head * heads.rows + query];
    const float score =
        scale * dot(own.query + query * heads.stride, own.key + row * heads.stride, heads.size);
    const float p = expf(score - statistics.largest) * statistics.inverse;
    const float keep = dropout.probability > 0 ? keep_factor(dropout, head * heads.rows + query, key) : 1;
    const float dp = keep * dot(dcontext(query), own.value + row * heads.stride, heads.size);
    kept[i] = keep * p;
    dscores[i] = scale * p * (dp - statistics.shared);
  }
  __syncwarp();
  float* const dkey = gradients.dqkv + row * gradients.stride + gradients.hidden + head * heads.size;
  for (int64_t d = lane; d < heads.size; d += kWarp) {
    float key_sum = 0, value_sum = 0;
    for (int i = 0; i < queries; ++i) {
      key_sum = fmaf(dscores[i], own.query[(first + i) * heads.stride + d], key_sum);
      value_sum = fmaf(kept[i], dcontext(first + i)[d], value_sum);
    }
    dkey[d] = key_sum;
    dkey[gradients.hidden + d] = value_sum;
  }
}

// ---- arguments

// Heads of the host, in tests alone, are brought to the device as floats, of which a 16-bit value takes half.
template <typename T>
DeviceHeads<T> on_device(const Heads& heads, int64_t rows, Operation& operation) {
  const int64_t values = heads.heads * rows * heads.stride;
  const int64_t floats = divide_up<int64_t>(values * static_cast<int64_t>(sizeof(T)), sizeof(float));
  const auto part = [&](const void* matrix) {
    return reinterpret_cast<const T*>(operation.in(static_cast<const float*>(matrix), floats));
  };
  return {part(heads.query), part(heads.key), part(heads.value), rows, heads.stride, heads.size};
}

float score_scale(const Heads& heads) { return 1 / std::sqrt(static_cast<float>(heads.size)); }

dim3 warps_of(int64_t items, int64_t heads) {
  return dim3(blocks_of(items, kWarps).x, static_cast<unsigned>(heads));
}

}  // namespace

void CudaBackend::attention_forward(float* context, float* probabilities, const Heads& heads,
                                    const Segments& segments, const Dropout& dropout) {
  Operation operation(memory_);
  const DeviceSegments& on_gpu = segments_on_device(segments, heads.heads, operation);
  const int64_t hidden = heads.heads * heads.size, stride = row_stride(hidden), rows = segments.rows();
  float* const to = operation.out(context, stride, hidden, on_gpu.total_queries);
  float* const to_probabilities = operation.out(probabilities, on_gpu.probabilities, on_gpu.probabilities, 1);
  const cudaStream_t stream = operation.stream();
  const float scale = score_scale(heads);
  const auto by_query = [&](auto value) {
    using T = decltype(value);
    launch(attention_kernel<T>, warps_of(on_gpu.total_queries, heads.heads), kThreads,
           kWarps * static_cast<size_t>(on_gpu.most_keys) * sizeof(float), stream, to, stride,
           to_probabilities, on_device<T>(heads, rows, operation), on_gpu, dropout, scale);
  };
  constexpr float kLog2E = 1.4426950408889634f;
  const auto by_tile = [&](auto kernel, int depth) {
    const size_t bytes = static_cast<size_t>((kQueryTile + 2 * kKeyTile) * depth) * sizeof(uint16_t);
    launch(kernel, dim3(static_cast<unsigned>(on_gpu.tiles), static_cast<unsigned>(heads.heads)), kThreads,
           bytes, stream, to, stride, on_device<uint16_t>(heads, rows, operation), on_gpu, scale * kLog2E);
  };
  if (heads.precision == Precision::kFp32)
    by_query(float{});
  else if (probabilities || dropout.probability > 0 || heads.size > 128)
    by_query(uint16_t{});
  else if (heads.size <= 32)
    by_tile(attention_bf16_kernel<32>, 32);
  else if (heads.size <= 64)
    by_tile(attention_bf16_kernel<64>, 64);
  else
    by_tile(attention_bf16_kernel<128>, 128);
  operation.finish();
}

void CudaBackend::attention_backward(float* dqkv, const float* dcontext, const Heads& heads,
                                     const Segments& segments, const Dropout& dropout) {
  Operation operation(memory_);
  const DeviceSegments& on_gpu = segments_on_device(segments, heads.heads, operation);
  const int64_t hidden = heads.heads * heads.size, rows = segments.rows();
  AttentionGradients gradients{};
  gradients.stride = row_stride(3 * hidden);
  gradients.context_stride = row_stride(hidden);
  gradients.hidden = hidden;
  gradients.dqkv = operation.out(dqkv, gradients.stride, 3 * hidden, rows);
  gradients.dcontext = operation.in(dcontext, gradients.context_stride, hidden, rows);
  gradients.statistics = operation.scratch<QueryStatistics>(heads.heads * rows);
  const DeviceHeads<float> from = on_device<float>(heads, rows, operation);
  const dim3 grid = warps_of(rows, heads.heads);
  const size_t row_bytes = kWarps * sizeof(float);
  launch(query_gradient_kernel, grid, kThreads, row_bytes * static_cast<size_t>(on_gpu.most_keys),
         operation.stream(), gradients, from, on_gpu, dropout, score_scale(heads));
  launch(key_gradient_kernel, grid, kThreads, 2 * row_bytes * static_cast<size_t>(on_gpu.most_rows),
         operation.stream(), gradients, from, on_gpu, dropout, score_scale(heads));
  operation.finish();
}

}  // namespace albert::cuda
