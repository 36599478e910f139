// LayerNorm of rows, of a sum of rows, and of embeddings.
#include <algorithm>

#include "cuda/backend.h"
#include "cuda/rows.cuh"

namespace albert::cuda {
namespace {

// What LayerNorm multiplies by and adds, which may be fetched before the previous kernel has ended.
template <int kVectors>
struct FetchedNorm {
  Fetched<kVectors, ParameterSource> weight, bias;
  float epsilon;

  __device__ FetchedNorm(const LayerNormWeights& norm, int width)
      : weight({norm.weight, width}), bias({norm.bias, width}), epsilon(norm.epsilon) {}
};

// y = LayerNorm(row), and its rounded values where they are wanted.
template <int kVectors, typename Source>
__device__ void store_normalised(const NormalisedRows& y, int row, const Row<kVectors, Source>& values,
                                 const FetchedNorm<kVectors>& norm, int width) {
  const Moments moments = moments_of(values, width, norm.epsilon);
  for_fours<kVectors>(width, [&](int v, int column) {
    float x[4], weight[4], bias[4];
    values.get(x, v, column);
    norm.weight.get(weight, v, column);
    norm.bias.get(bias, v, column);
#pragma unroll
    for (int e = 0; e < 4; ++e) x[e] = (x[e] - moments.mean) * moments.inverse * weight[e] + bias[e];
    store_four(y.values + row * y.stride, column, width, x);
    if (y.rounded.values) store_four(y.rounded, row, column, x);
  });
}

// A row, and a rounded one to add where there is one.
struct SummedSource {
  RowSource x;
  Tiles rounded;
  int row, width;

  struct Raw {
    float4 x;
    uint2 rounded;
  };
  __device__ Raw fetch(int column) const {
    Raw raw{x.fetch(column), {0, 0}};
    if (rounded.values)
      raw.rounded = *reinterpret_cast<const uint2*>(rounded.at(row, column < width ? column : 0));
    return raw;
  }
  __device__ void finish(float (&values)[4], const Raw& raw, int column) const {
    const float4 sum = {raw.x.x + low_bf16(raw.rounded.x), raw.x.y + high_bf16(raw.rounded.x),
                        raw.x.z + low_bf16(raw.rounded.y), raw.x.w + high_bf16(raw.rounded.y)};
    finish_four(values, sum, column, width);
  }
};

template <int kVectors>
__global__ void __launch_bounds__(kRowThreads)
    layernorm_kernel(NormalisedRows y, SummedRows x, LayerNormWeights weights, int width, int rows) {
  const FetchedNorm<kVectors> norm(weights, width);
  follow_previous();
  const int row = warp_row();
  if (row >= rows) return;
  const Fetched<kVectors, SummedSource> fetched({{x.values + row * x.stride, width}, x.rounded, row, width});
  store_normalised(y, row, Row<kVectors, SummedSource>(fetched), norm, width);
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

// x + dropout(sum)
struct ResidualSource {
  RowSource sum, x;
  Dropout dropout;
  int row, width;

  struct Raw {
    float4 sum, x;
  };
  __device__ Raw fetch(int column) const { return {sum.fetch(column), x.fetch(column)}; }
  __device__ void finish(float (&values)[4], const Raw& raw, int column) const {
    float residual[4], keep[4] = {1, 1, 1, 1};
    sum.finish(values, raw.sum, column);
    x.finish(residual, raw.x, column);
    if (dropout.probability > 0) keep_factors(keep, dropout, row, column);
#pragma unroll
    for (int e = 0; e < 4; ++e) values[e] = residual[e] + keep[e] * values[e];
  }
};

template <int kVectors>
__global__ void __launch_bounds__(kRowThreads)
    residual_layernorm_kernel(NormalisedRows y, float* sum, const float* x, Dropout dropout,
                              LayerNormWeights weights, int width, int rows) {
  const int row = warp_row();
  if (row >= rows) return;
  const FetchedNorm<kVectors> norm(weights, width);
  float* const own = sum + row * y.stride;
  const ResidualSource source{{own, width}, {x + row * y.stride, width}, dropout, row, width};
  const Row<kVectors, ResidualSource> values{Fetched<kVectors, ResidualSource>(source)};
  for_fours<kVectors>(width, [&](int v, int column) {
    float total[4];
    values.get(total, v, column);
    store_four(own, column, width, total);
  });
  if constexpr (kVectors > 0) {
    store_normalised(y, row, values, norm, width);
  } else {
    const Row<0, RowSource> total{Fetched<0, RowSource>({own, width})};
    store_normalised(y, row, total, norm, width);
  }
}

// Rows of three tables.
struct EmbeddingSource {
  ParameterSource word, type, position;
  int width;

  struct Raw {
    float4 word, type, position;
  };
  __device__ Raw fetch(int column) const {
    return {word.fetch(column), type.fetch(column), position.fetch(column)};
  }
  __device__ void finish(float (&values)[4], const Raw& raw, int column) const {
    const float4 sum = {
        raw.word.x + (raw.type.x + raw.position.x), raw.word.y + (raw.type.y + raw.position.y),
        raw.word.z + (raw.type.z + raw.position.z), raw.word.w + (raw.type.w + raw.position.w)};
    finish_four(values, sum, column, width);
  }
};

template <int kVectors>
__global__ void __launch_bounds__(kRowThreads)
    embedding_kernel(NormalisedRows y, float* sum, const int32_t* ids, const int32_t* types,
                     const int32_t* positions, EmbeddingWeights weights, int rows) {
  const int row = warp_row(), width = static_cast<int>(weights.width);
  if (row >= rows) return;
  const auto row_of = [&](const float* table, const int32_t* indices) {
    return ParameterSource{table + int64_t{indices[row]} * width, width};
  };
  const EmbeddingSource source{row_of(weights.word, ids), row_of(weights.type, types),
                               row_of(weights.position, positions), width};
  const FetchedNorm<kVectors> norm(weights.norm, width);
  const Row<kVectors, EmbeddingSource> values{Fetched<kVectors, EmbeddingSource>(source)};
  if (sum)
    for_fours<kVectors>(width, [&](int v, int column) {
      float total[4];
      values.get(total, v, column);
      store_four(sum + row * y.stride, column, width, total);
    });
  store_normalised(y, row, values, norm, width);
}

}  // namespace

LayerNormWeights on_device(const LayerNormWeights& norm, int64_t width, Operation& operation) {
  return {operation.in(norm.weight, width), operation.in(norm.bias, width), norm.epsilon};
}

void normalise(const NormalisedRows& y, const SummedRows& x, const LayerNormWeights& norm, int64_t width,
               int64_t rows, Operation& operation) {
  const RowBlocks blocks(rows);
  by_width(width, [&](auto vectors) {
    launch_early(layernorm_kernel<vectors()>, blocks.grid, blocks.threads, 0, operation.stream(), y, x,
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
    launch(unaligned_layernorm_kernel, blocks_of(rows * kWarp, kRowThreads), kRowThreads, 0,
           operation.stream(), to, y_stride, from, x_stride, on_device(norm, width, operation),
           static_cast<int>(width), static_cast<int>(rows));
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
  const RowBlocks blocks(rows);
  by_width(width, [&](auto vectors) {
    launch(residual_layernorm_kernel<vectors()>, blocks.grid, blocks.threads, 0, operation.stream(), result,
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
  const RowBlocks blocks(rows);
  by_width(width, [&](auto vectors) {
    launch(embedding_kernel<vectors()>, blocks.grid, blocks.threads, 0, operation.stream(), result, saved,
           indices(ids), indices(types), indices(positions), on_gpu, static_cast<int>(rows));
  });
  operation.finish();
}

}  // namespace albert::cuda
