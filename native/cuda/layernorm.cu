// LayerNorm of rows, of a sum of rows, and of embeddings.
#include <algorithm>

#include "cuda/backend.h"
#include "cuda/rows.cuh"

namespace albert::cuda {
namespace {

// y = LayerNorm(row), and its rounded values where they are wanted.
template <bool kNarrow, typename Load>
__device__ void store_normalised(const NormalisedRows& y, int row, const Row<kNarrow, Load>& values,
                                 const LayerNormWeights& norm, int width) {
  const Moments moments = moments_of(values, width, norm.epsilon);
  for_fours<kNarrow>(width, [&](int v, int column) {
    float x[4], weight[4], bias[4];
    values.get(x, v, column);
    load_parameters(weight, norm.weight, column, width);
    load_parameters(bias, norm.bias, column, width);
#pragma unroll
    for (int e = 0; e < 4; ++e) x[e] = (x[e] - moments.mean) * moments.inverse * weight[e] + bias[e];
    store_four(y.values + row * y.stride, column, width, x);
    if (y.rounded.values)
      *reinterpret_cast<uint2*>(y.rounded.at(row, column)) = {pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3])};
  });
}

template <bool kNarrow>
__global__ void __launch_bounds__(kRowThreads)
    layernorm_kernel(NormalisedRows y, SummedRows x, LayerNormWeights norm, int width, int rows) {
  follow_previous();
  const int row = warp_row();
  if (row >= rows) return;
  const auto load = [&](float(&values)[4], int column) {
    load_four(values, x.values + row * x.stride, column, width);
    if (!x.rounded.values) return;
    const uint2 four = *reinterpret_cast<const uint2*>(x.rounded.at(row, column));
    values[0] += value_of(static_cast<uint16_t>(four.x));
    values[1] += value_of(static_cast<uint16_t>(four.x >> 16));
    values[2] += value_of(static_cast<uint16_t>(four.y));
    values[3] += value_of(static_cast<uint16_t>(four.y >> 16));
  };
  store_normalised(y, row, Row<kNarrow, decltype(load)>(width, load), norm, width);
}

// Rows that do not lie on 16 bytes, or end with their last value.
__global__ void __launch_bounds__(kRowThreads)
    unaligned_layernorm_kernel(float* y, int64_t y_stride, const float* x, int64_t x_stride,
                               LayerNormWeights norm, int width, int rows) {
  const int row = warp_row(), lane = static_cast<int>(threadIdx.x) % kWarp;
  if (row >= rows) return;
  x += row * x_stride;
  float sum = 0, squares = 0;
  for (int i = lane; i < width; i += kWarp) sum += x[i];
  const float mean = warp_sum(sum) / static_cast<float>(width);
  for (int i = lane; i < width; i += kWarp) squares += (x[i] - mean) * (x[i] - mean);
  const float inverse = 1 / sqrtf(warp_sum(squares) / static_cast<float>(width) + norm.epsilon);
  for (int i = lane; i < width; i += kWarp)
    y[row * y_stride + i] = (x[i] - mean) * inverse * norm.weight[i] + norm.bias[i];
}

template <bool kNarrow>
__global__ void __launch_bounds__(kRowThreads)
    residual_layernorm_kernel(NormalisedRows y, float* sum, const float* x, Dropout dropout,
                              LayerNormWeights norm, int width, int rows) {
  const int row = warp_row();
  if (row >= rows) return;
  float* const own = sum + row * y.stride;
  const auto add = [&](float(&values)[4], int column) {
    float residual[4];
    load_four(values, own, column, width);
    load_four(residual, x + row * y.stride, column, width);
    float keep[4] = {1, 1, 1, 1};
    if (dropout.probability > 0) keep_factors(keep, dropout, row, column);
#pragma unroll
    for (int e = 0; e < 4; ++e) values[e] = residual[e] + keep[e] * values[e];
    store_four(own, column, width, values);
  };
  if constexpr (kNarrow) {
    store_normalised(y, row, Row<true, decltype(add)>(width, add), norm, width);
  } else {
    for_fours<false>(width, [&](int, int column) {
      float values[4];
      add(values, column);
    });
    const auto load = [&](float(&values)[4], int column) { load_four(values, own, column, width); };
    store_normalised(y, row, Row<false, decltype(load)>(width, load), norm, width);
  }
}

template <bool kNarrow>
__global__ void __launch_bounds__(kRowThreads)
    embedding_kernel(NormalisedRows y, float* sum, const int32_t* ids, const int32_t* types,
                     const int32_t* positions, EmbeddingWeights weights, int rows) {
  const int row = warp_row(), width = static_cast<int>(weights.width);
  if (row >= rows) return;
  const auto load = [&](float(&values)[4], int column) {
    float type[4], position[4];
    load_parameters(values, weights.word + int64_t{ids[row]} * width, column, width);
    load_parameters(type, weights.type + int64_t{types[row]} * width, column, width);
    load_parameters(position, weights.position + int64_t{positions[row]} * width, column, width);
#pragma unroll
    for (int e = 0; e < 4; ++e) values[e] += type[e] + position[e];
    if (sum) store_four(sum + row * y.stride, column, width, values);
  };
  store_normalised(y, row, Row<kNarrow, decltype(load)>(width, load), weights.norm, width);
}

}  // namespace

LayerNormWeights on_device(const LayerNormWeights& norm, int64_t width, Operation& operation) {
  return {operation.in(norm.weight, width), operation.in(norm.bias, width), norm.epsilon};
}

void normalise(const NormalisedRows& y, const SummedRows& x, const LayerNormWeights& norm, int64_t width,
               int64_t rows, Operation& operation) {
  by_width(width, [&](auto narrow) {
    launch_early(layernorm_kernel<narrow()>, row_blocks(rows), kRowThreads, 0, operation.stream(), y, x,
                 on_device(norm, width, operation), static_cast<int>(width), static_cast<int>(rows));
  });
}

void CudaBackend::layernorm_forward(float* y, int64_t y_stride, const float* x, int64_t x_stride,
                                    const LayerNormWeights& norm, int64_t width, int64_t rows) {
  Operation operation(memory_);
  const float* const from = operation.in(x, x_stride, width, rows);
  float* const to = operation.out(y, y_stride, width, rows);
  const auto on_vectors = [&](const float* matrix, int64_t stride) {
    return stride == row_stride(width) && reinterpret_cast<uintptr_t>(matrix) % 16 == 0;
  };
  if (on_vectors(to, y_stride) && on_vectors(from, x_stride))
    normalise({to, y_stride, keep_rounded(to, width, rows)}, {from, x_stride, {}}, norm, width, rows,
              operation);
  else
    launch(unaligned_layernorm_kernel, row_blocks(rows), kRowThreads, 0, operation.stream(), to, y_stride,
           from, x_stride, on_device(norm, width, operation), static_cast<int>(width),
           static_cast<int>(rows));
  operation.finish();
}

void CudaBackend::residual_layernorm_forward(float* y, float* sum, const float* x,
                                             const LayerNormWeights& norm, const Dropout& dropout,
                                             int64_t width, int64_t rows) {
  Operation operation(memory_);
  const int64_t stride = row_stride(width);
  const float* const from = operation.in(x, stride, width, rows);
  float* const total = operation.in_out(sum, stride, width, rows);
  float* const to = operation.out(y, stride, width, rows);
  const NormalisedRows result{to, stride, keep_rounded(to, width, rows)};
  by_width(width, [&](auto narrow) {
    launch(residual_layernorm_kernel<narrow()>, row_blocks(rows), kRowThreads, 0, operation.stream(), result,
           total, from, dropout, on_device(norm, width, operation), static_cast<int>(width),
           static_cast<int>(rows));
  });
  operation.finish();
}

void CudaBackend::embedding_forward(float* y, float* sum, const int32_t* ids, const int32_t* types,
                                    const int32_t* positions, const EmbeddingWeights& weights, int64_t rows) {
  Operation operation(memory_);
  const int64_t width = weights.width, stride = row_stride(width);
  // Tables of the host, in tests alone, are as long as their largest index says.
  const auto table = [&](const float* values, const int32_t* indices) {
    const int64_t count = rows ? *std::max_element(indices, indices + rows) + 1 : 0;
    return operation.in(values, width, width, count);
  };
  EmbeddingWeights on_gpu = weights;
  on_gpu.word = table(weights.word, ids);
  on_gpu.type = table(weights.type, types);
  on_gpu.position = table(weights.position, positions);
  on_gpu.norm = on_device(weights.norm, width, operation);
  float* const to = operation.out(y, stride, width, rows);
  float* const saved = operation.out(sum, stride, width, rows);
  const NormalisedRows result{to, stride, keep_rounded(to, width, rows)};
  const auto indices = [&](const int32_t* host) {
    const int32_t* const placed = inputs_.find(host);
    return placed ? placed : operation.upload(host, rows);
  };
  by_width(width, [&](auto narrow) {
    launch(embedding_kernel<narrow()>, row_blocks(rows), kRowThreads, 0, operation.stream(), result, saved,
           indices(ids), indices(types), indices(positions), on_gpu, static_cast<int>(rows));
  });
  operation.finish();
}

}  // namespace albert::cuda
