// The gradient of LayerNorm. With n = (x - mean) inverse and g = dy weight: dx = inverse (g - mean(g) - n
// mean(g n)), dweight = sum over rows of dy n, dbias = that of dy.
#include "cuda/backend.h"
#include "cuda/rows.cuh"

namespace albert::cuda {
namespace {

// Rows of a block, whose sums over rows are added to those of the others in order.
constexpr int kBlockRows = 16;

// Computes dx of one row, and calls of_value(vector, column, dy, dy n) for every four columns.
template <bool kNarrow, typename OfValue>
__device__ void layernorm_backward_row(float* dx, const float* dy, const float* x,
                                       const LayerNormWeights& norm, int width, const OfValue& of_value) {
  const auto load = [&](float(&values)[4], int column) { load_four(values, x, column, width); };
  const auto load_gradient = [&](float(&values)[4], int column) { load_four(values, dy, column, width); };
  const Row<kNarrow, decltype(load)> row(width, load);
  const Row<kNarrow, decltype(load_gradient)> gradient(width, load_gradient);
  const Moments moments = moments_of(row, width, norm.epsilon);
  // body(column, vector, dy, n, g, of each)
  const auto for_values = [&](const auto& body) {
    for_fours<kNarrow>(width, [&](int v, int column) {
      float n[4], of_y[4], weight[4];
      row.get(n, v, column);
      gradient.get(of_y, v, column);
      load_parameters(weight, norm.weight, column, width);
#pragma unroll
      for (int e = 0; e < 4; ++e) n[e] = column + e < width ? (n[e] - moments.mean) * moments.inverse : 0;
      body(v, column, of_y, n, weight);
    });
  };
  float sum = 0, along = 0;
  for_values([&](int, int, const float(&of_y)[4], const float(&n)[4], const float(&weight)[4]) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      sum += of_y[e] * weight[e];
      along += of_y[e] * weight[e] * n[e];
    }
  });
  const float mean = warp_sum(sum) / static_cast<float>(width);
  const float mean_along = warp_sum(along) / static_cast<float>(width);
  for_values([&](int v, int column, const float(&of_y)[4], const float(&n)[4], const float(&weight)[4]) {
    float result[4], scaled[4];
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      scaled[e] = of_y[e] * n[e];
      result[e] = moments.inverse * (of_y[e] * weight[e] - mean - n[e] * mean_along);
    }
    store_four(dx, column, width, result);
    of_value(v, column, of_y, scaled);
  });
}

// parts[block]: the sums of its rows, of dy n and then of dy, each `part` wide.
__global__ void __launch_bounds__(kRowThreads)
    narrow_backward_kernel(float* dx, float* parts, const float* dy, const float* x, int64_t stride,
                           LayerNormWeights norm, int width, int rows) {
  __shared__ float of_warps[kRowsPerBlock][kNarrowWidth];
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  float of_weight[kMostVectors][4] = {}, of_bias[kMostVectors][4] = {};
  for (int i = warp; i < kBlockRows; i += kRowsPerBlock) {
    const int row = static_cast<int>(blockIdx.x) * kBlockRows + i;
    if (row >= rows) break;
    const int64_t at = row * stride;
    layernorm_backward_row<true>(dx + at, dy + at, x + at, norm, width,
                                 [&](int v, int, const float(&of_y)[4], const float(&scaled)[4]) {
#pragma unroll
                                   for (int e = 0; e < 4; ++e) {
                                     of_weight[v][e] += scaled[e];
                                     of_bias[v][e] += of_y[e];
                                   }
                                 });
  }
  const auto add_up = [&](const float(&sums)[kMostVectors][4], float* to) {
    for_fours<true>(width, [&](int v, int column) {
#pragma unroll
      for (int e = 0; e < 4; ++e) of_warps[warp][column + e] = sums[v][e];
    });
    __syncthreads();
    for (int column = static_cast<int>(threadIdx.x); column < width; column += kRowThreads) {
      float sum = 0;
#pragma unroll
      for (int w = 0; w < kRowsPerBlock; ++w) sum += of_warps[w][column];
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
    wide_backward_kernel(float* dx, float* scaled, const float* dy, const float* x, int64_t stride,
                         LayerNormWeights norm, int width, int rows) {
  const int row = warp_row();
  if (row >= rows) return;
  const int64_t at = row * stride;
  layernorm_backward_row<false>(dx + at, dy + at, x + at, norm, width,
                                [&](int, int column, const float(&)[4], const float(&values)[4]) {
                                  store_four(scaled + at, column, width, values);
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
  if (width <= kNarrowWidth) {
    const int64_t blocks = divide_up<int64_t>(rows, kBlockRows);
    float* const parts = operation.scratch<float>(blocks * 2 * width);
    launch(narrow_backward_kernel, dim3(static_cast<unsigned>(blocks)), kRowThreads, 0, operation.stream(),
           to, parts, dfrom, from, stride, weights, static_cast<int>(width), static_cast<int>(rows));
    add_parts(of_weight, parts, 2 * width, width, blocks, operation);
    add_parts(of_bias, parts + width, 2 * width, width, blocks, operation);
  } else {
    float* const scaled = operation.scratch<float>(rows * stride);
    add_column_sums(of_bias, dfrom, stride, width, rows, operation);  // before dx takes its place
    launch(wide_backward_kernel, row_blocks(rows), kRowThreads, 0, operation.stream(), to, scaled, dfrom,
           from, stride, weights, static_cast<int>(width), static_cast<int>(rows));
    add_column_sums(of_weight, scaled, stride, width, rows, operation);
  }
  operation.finish();
}

}  // namespace albert::cuda
