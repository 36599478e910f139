// The gradient of LayerNorm. With n = (x - mean) inverse and g = dy weight: dx = inverse (g - mean(g) - n
// mean(g n)), dweight = sum over rows of dy n, dbias = that of dy.
#include <algorithm>

#include "cuda/backend.h"
#include "cuda/rows.cuh"

namespace albert::cuda {
namespace {

// Rows of a block, whose sums over rows are added to those of the others in order: as many as keep two blocks
// on every multiprocessor of a large GPU.
int64_t rows_of_block(int64_t rows) {
  constexpr int64_t kBlocks = 264, kMost = 64;
  return std::clamp<int64_t>(rows / kBlocks / kMostRowsPerBlock * kMostRowsPerBlock, kMostRowsPerBlock,
                             kMost);
}

// Computes dx of one row, and calls of_value(vector, dy, dy n) for every four columns. weight(values, vector,
// column) brings four weights.
template <int kVectors, typename Weight, typename OfValue>
__device__ void layernorm_backward_row(const NormalisedRows& dx, int row, const float* dy, const float* x,
                                       float epsilon, int width, const Weight& weight,
                                       const OfValue& of_value) {
  using Fetch = Fetched<kVectors, RowSource>;
  const int64_t at = row * dx.stride;
  const Fetch fetched({x + at, width}), fetched_gradient({dy + at, width});
  const Row<kVectors, RowSource> values(fetched), gradient(fetched_gradient);
  const Moments moments = moments_of(values, width, epsilon);
  const auto for_values = [&](const auto& body) {
    for_fours<kVectors>(width, [&](int v, int column) {
      float n[4], of_y[4], w[4];
      values.get(n, v, column);
      gradient.get(of_y, v, column);
      weight(w, v, column);
#pragma unroll
      for (int e = 0; e < 4; ++e) n[e] = (n[e] - moments.mean) * moments.inverse;
      body(v, column, of_y, n, w);
    });
  };
  float sum = 0, along = 0;
  for_values([&](int, int, const float(&of_y)[4], const float(&n)[4], const float(&w)[4]) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      sum += of_y[e] * w[e];
      along += of_y[e] * w[e] * n[e];
    }
  });
  const float mean = warp_sum(sum) / static_cast<float>(width);
  const float mean_along = warp_sum(along) / static_cast<float>(width);
  for_values([&](int v, int column, const float(&of_y)[4], const float(&n)[4], const float(&w)[4]) {
    float result[4], scaled[4];
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      scaled[e] = of_y[e] * n[e];
      result[e] = column + e < width ? moments.inverse * (of_y[e] * w[e] - mean - n[e] * mean_along) : 0;
    }
    store_four(dx.values + at, column, width, result);
    if (dx.rounded.values) store_four(dx.rounded, row, column, result);
    of_value(v, column, of_y, scaled);
  });
}

// parts[block]: the sums of its rows, of dy n and then of dy, each `width` wide.
template <int kVectors>
__global__ void __launch_bounds__(kRowThreads, kVectors <= 6 ? 2 : 1)
    narrow_backward_kernel(NormalisedRows dx, float* parts, const float* dy, const float* x,
                           LayerNormWeights norm, int width, int rows, int block_rows) {
  constexpr int kWidth = kVectors * 4 * kWarp;
  __shared__ float4 weights[kWidth / 4];
  __shared__ float4 of_warps[kMostRowsPerBlock][kWidth / 4];
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp;
  for (int i = thread; i < kWidth / 4; i += kRowThreads) {
    const ParameterSource source{norm.weight, width};
    float values[4];
    source.finish(values, source.fetch(4 * i), 4 * i);
    weights[i] = {values[0], values[1], values[2], values[3]};
  }
  __syncthreads();
  const auto weight = [&](float(&values)[4], int, int column) {
    finish_four(values, weights[column / 4], column, kWidth);
  };
  float of_weight[kVectors][4] = {}, of_bias[kVectors][4] = {};
  const int begin = static_cast<int>(blockIdx.x) * block_rows, end = min(begin + block_rows, rows);
  for (int row = begin + warp; row < end; row += kMostRowsPerBlock)
    layernorm_backward_row<kVectors>(dx, row, dy, x, norm.epsilon, width, weight,
                                     [&](int v, int, const float(&of_y)[4], const float(&scaled)[4]) {
#pragma unroll
                                       for (int e = 0; e < 4; ++e) {
                                         of_weight[v][e] += scaled[e];
                                         of_bias[v][e] += of_y[e];
                                       }
                                     });
  const auto add_up = [&](const float(&sums)[kVectors][4], float* to) {
    for_fours<kVectors>(width, [&](int v, int column) {
      of_warps[warp][column / 4] = {sums[v][0], sums[v][1], sums[v][2], sums[v][3]};
    });
    __syncthreads();
    for (int column = thread; column < width; column += kRowThreads) {
      float sum = 0;
#pragma unroll
      for (int w = 0; w < kMostRowsPerBlock; ++w) sum += reinterpret_cast<const float*>(of_warps[w])[column];
      to[column] = sum;
    }
    __syncthreads();
  };
  float* const own = parts + int64_t{blockIdx.x} * 2 * width;
  add_up(of_weight, own);
  add_up(of_bias, own + width);
}

// For rows that do not fit registers: writes dy n over `scaled`, for sums of their own.
__global__ void __launch_bounds__(kRowThreads)
    wide_backward_kernel(NormalisedRows dx, float* scaled, const float* dy, const float* x,
                         LayerNormWeights norm, int width, int rows) {
  const int row = warp_row();
  if (row >= rows) return;
  const ParameterSource source{norm.weight, width};
  layernorm_backward_row<0>(
      dx, row, dy, x, norm.epsilon, width,
      [&](float(&values)[4], int, int column) { source.finish(values, source.fetch(column), column); },
      [&](int, int column, const float(&)[4], const float(&values)[4]) {
        store_four(scaled + row * dx.stride, column, width, values);
      });
}

}  // namespace

void CudaBackend::layernorm_backward(float* dx, const LayerNormGradient& gradient, const float* dy,
                                     const float* x, const LayerNormWeights& norm, int64_t width,
                                     int64_t rows) {
  Operation operation(memory_);
  const int64_t stride = row_stride(width);
  const float* const from = operation.in(x, stride, width, rows);
  const float* const dfrom = operation.in(dy, stride, width, rows);
  float* const to = operation.out(dx, stride, width, rows);
  float* const of_weight = operation.in_out(gradient.weight, width);
  float* const of_bias = operation.in_out(gradient.bias, width);
  const LayerNormWeights weights = on_device(norm, width, operation);
  // Products read dx next.
  const NormalisedRows result{to, stride, keep_rounded(to, width, rows)};
  by_width(width, [&](auto vectors) {
    if constexpr (vectors() > 0) {
      const int64_t block_rows = rows_of_block(rows), blocks = divide_up(rows, block_rows);
      float* const parts = operation.scratch<float>(blocks * 2 * width);
      launch(narrow_backward_kernel<vectors()>, dim3(static_cast<unsigned>(blocks)), kRowThreads, 0,
             operation.stream(), result, parts, dfrom, from, weights, static_cast<int>(width),
             static_cast<int>(rows), static_cast<int>(block_rows));
      add_parts(of_weight, parts, 2 * width, width, blocks, operation);
      add_parts(of_bias, parts + width, 2 * width, width, blocks, operation);
    } else {
      float* const scaled = operation.scratch<float>(rows * stride);
      add_column_sums(of_bias, dfrom, stride, width, rows, operation);  // before dx takes its place
      launch(wide_backward_kernel, blocks_of(rows * kWarp, kRowThreads), kRowThreads, 0, operation.stream(),
             result, scaled, dfrom, from, weights, static_cast<int>(width), static_cast<int>(rows));
      add_column_sums(of_weight, scaled, stride, width, rows, operation);
    }
  });
  operation.finish();
}

}  // namespace albert::cuda
