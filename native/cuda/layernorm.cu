// LayerNorm, alone and after a residual, its gradient, and sums over rows.
#include "cuda/backend.h"
#include "cuda/common.cuh"

namespace albert::cuda {
namespace {

constexpr int kThreads = 256, kRowsPerBlock = kThreads / kWarp;
// Rows that one block of a sum over rows adds up, before the blocks are added in order.
constexpr int64_t kSumRows = 256;

// The row of this warp.
__device__ inline int64_t warp_row() { return int64_t{blockIdx.x} * kRowsPerBlock + threadIdx.x / kWarp; }

struct Moments {
  float mean, inverse;  // 1 / sqrt(variance + epsilon)
};

__device__ inline Moments moments_of(const float* x, int64_t width, float epsilon) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float sum = 0, squares = 0;
  for (int64_t i = lane; i < width; i += kWarp) sum += x[i];
  const float mean = warp_sum(sum) / static_cast<float>(width);
  for (int64_t i = lane; i < width; i += kWarp) squares += (x[i] - mean) * (x[i] - mean);
  return {mean, 1 / sqrtf(warp_sum(squares) / static_cast<float>(width) + epsilon)};
}

// A lane reads and writes the same places in every pass, so x may be y.
__device__ inline void normalise_row(float* y, const float* x, const LayerNormWeights& norm, int64_t width) {
  const Moments moments = moments_of(x, width, norm.epsilon);
  for (int64_t i = static_cast<int>(threadIdx.x) % kWarp; i < width; i += kWarp)
    y[i] = (x[i] - moments.mean) * moments.inverse * norm.weight[i] + norm.bias[i];
}

__global__ void __launch_bounds__(kThreads)
    layernorm_kernel(float* y, int64_t y_stride, const float* x, int64_t x_stride, LayerNormWeights norm,
                     int64_t width, int64_t rows) {
  const int64_t row = warp_row();
  if (row < rows) normalise_row(y + row * y_stride, x + row * x_stride, norm, width);
}

__global__ void __launch_bounds__(kThreads)
    residual_layernorm_kernel(float* y, float* sum, const float* x, int64_t stride, LayerNormWeights norm,
                              Dropout dropout, int64_t width, int64_t rows) {
  const int64_t row = warp_row();
  if (row >= rows) return;
  const int64_t at = row * stride;
  for (int64_t i = static_cast<int>(threadIdx.x) % kWarp; i < width; i += kWarp) {
    const float keep = dropout.probability > 0 ? keep_factor(dropout, row, i) : 1;
    sum[at + i] = x[at + i] + keep * sum[at + i];
  }
  normalise_row(y + at, sum + at, norm, width);
}

__global__ void __launch_bounds__(kThreads)
    embedding_kernel(float* y, float* sum, int64_t stride, const int32_t* ids, const int32_t* types,
                     const int32_t* positions, EmbeddingWeights weights, int64_t rows) {
  const int64_t row = warp_row(), width = weights.width;
  if (row >= rows) return;
  float* const before = (sum ? sum : y) + row * stride;
  for (int64_t i = static_cast<int>(threadIdx.x) % kWarp; i < width; i += kWarp)
    before[i] = weights.word[ids[row] * width + i] + weights.type[types[row] * width + i] +
                weights.position[positions[row] * width + i];
  normalise_row(y + row * stride, before, weights.norm, width);
}

// With n = (x - mean) inverse and g = dy weight: dx = inverse (g - mean(g) - n mean(g n)). Writes n's
// gradients dy n over `scaled`, for the sums over rows.
__global__ void __launch_bounds__(kThreads)
    layernorm_backward_kernel(float* dx, float* scaled, const float* dy, const float* x, int64_t stride,
                              LayerNormWeights norm, int64_t width, int64_t rows) {
  const int64_t row = warp_row(), at = row * stride;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if (row >= rows) return;
  const Moments moments = moments_of(x + at, width, norm.epsilon);
  float sum = 0, along = 0;
  for (int64_t i = lane; i < width; i += kWarp) {
    const float n = (x[at + i] - moments.mean) * moments.inverse, g = dy[at + i] * norm.weight[i];
    scaled[at + i] = dy[at + i] * n;
    sum += g;
    along += g * n;
  }
  const float mean = warp_sum(sum) / static_cast<float>(width);
  const float mean_along = warp_sum(along) / static_cast<float>(width);
  for (int64_t i = lane; i < width; i += kWarp) {
    const float n = (x[at + i] - moments.mean) * moments.inverse, g = dy[at + i] * norm.weight[i];
    dx[at + i] = moments.inverse * (g - mean - n * mean_along);
  }
}

// partial[block][c]: the sum over kSumRows rows of column c; a thread has a column.
__global__ void __launch_bounds__(kThreads)
    partial_sums_kernel(float* partial, const float* x, int64_t x_stride, int64_t width, int64_t rows) {
  const int64_t column = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int64_t begin = int64_t{blockIdx.y} * kSumRows;
  const int64_t end = begin + kSumRows < rows ? begin + kSumRows : rows;
  if (column >= width) return;
  float sum = 0;
  for (int64_t row = begin; row < end; ++row) sum += x[row * x_stride + column];
  partial[int64_t{blockIdx.y} * width + column] = sum;
}

__global__ void __launch_bounds__(kThreads)
    add_partial_sums_kernel(float* sums, const float* partial, int64_t width, int64_t blocks) {
  const int64_t column = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (column >= width) return;
  float sum = 0;
  for (int64_t block = 0; block < blocks; ++block) sum += partial[block * width + column];
  sums[column] += sum;
}

LayerNormWeights on_device(const LayerNormWeights& norm, int64_t width, Operation& operation) {
  return {operation.in(norm.weight, width), operation.in(norm.bias, width), norm.epsilon};
}

dim3 row_blocks(int64_t rows) { return blocks_of(rows, kRowsPerBlock); }

}  // namespace

void normalise(float* y, int64_t y_stride, const float* x, int64_t x_stride, const LayerNormWeights& norm,
               int64_t width, int64_t rows, Operation& operation) {
  launch(layernorm_kernel, row_blocks(rows), kThreads, 0, operation.stream(), y, y_stride, x, x_stride,
         on_device(norm, width, operation), width, rows);
}

void add_column_sums(float* sums, const float* x, int64_t x_stride, int64_t width, int64_t rows,
                     Operation& operation) {
  const int64_t blocks = divide_up(rows, kSumRows);
  float* const partial = operation.scratch<float>(blocks * width);
  const dim3 columns = blocks_of(width, kThreads);
  launch(partial_sums_kernel, dim3(columns.x, static_cast<unsigned>(blocks)), kThreads, 0, operation.stream(),
         partial, x, x_stride, width, rows);
  launch(add_partial_sums_kernel, columns, kThreads, 0, operation.stream(), sums, partial, width, blocks);
}

void CudaBackend::layernorm_forward(float* y, int64_t y_stride, const float* x, int64_t x_stride,
                                    const LayerNormWeights& norm, int64_t width, int64_t rows) {
  Operation operation(memory_);
  float* const to = operation.out(y, y_stride, width, rows);
  normalise(to, y_stride, operation.in(x, x_stride, width, rows), x_stride, norm, width, rows, operation);
  operation.finish();
}

void CudaBackend::residual_layernorm_forward(float* y, float* sum, const float* x,
                                             const LayerNormWeights& norm, const Dropout& dropout,
                                             int64_t width, int64_t rows) {
  Operation operation(memory_);
  const int64_t stride = row_stride(width);
  float* const to = operation.out(y, stride, width, rows);
  float* const total = operation.in_out(sum, stride, width, rows);
  const float* const from = operation.in(x, stride, width, rows);
  launch(residual_layernorm_kernel, row_blocks(rows), kThreads, 0, operation.stream(), to, total, from,
         stride, on_device(norm, width, operation), dropout, width, rows);
  operation.finish();
}

void CudaBackend::layernorm_backward(float* dx, const LayerNormGradient& gradient, const float* dy,
                                     const float* x, const LayerNormWeights& norm, int64_t width,
                                     int64_t rows) {
  Operation operation(memory_);
  const int64_t stride = row_stride(width);
  const float* const from = operation.in(x, stride, width, rows);
  const float* const dfrom = operation.in(dy, stride, width, rows);
  float* const to = operation.out(dx, stride, width, rows);
  float* const scaled = operation.scratch<float>(rows * stride);
  // Before dx takes its place.
  add_column_sums(operation.in_out(gradient.bias, width), dfrom, stride, width, rows, operation);
  launch(layernorm_backward_kernel, row_blocks(rows), kThreads, 0, operation.stream(), to, scaled, dfrom,
         from, stride, on_device(norm, width, operation), width, rows);
  add_column_sums(operation.in_out(gradient.weight, width), scaled, stride, width, rows, operation);
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
  launch(embedding_kernel, row_blocks(rows), kThreads, 0, operation.stream(), to, saved, stride,
         operation.upload(ids, rows), operation.upload(types, rows), operation.upload(positions, rows),
         on_gpu, rows);
  operation.finish();
}

}  // namespace albert::cuda
