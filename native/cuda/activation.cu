// Activation functions and dropout over whole matrices.
#include "cuda/backend.h"
#include "cuda/rows.cuh"

namespace albert::cuda {
namespace {

constexpr int kThreads = 256;

// A thread for each element of [rows, width], `stride` apart.
struct Element {
  int64_t row, column, at;
};
__device__ inline Element element_of(int64_t width, int64_t stride) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x, row = i / width;
  return {row, i - row * width, row * stride + i - row * width};
}

__global__ void __launch_bounds__(kThreads) activation_kernel(float* y, const float* x, Activation activation,
                                                              int64_t stride, int64_t width, int64_t rows) {
  const Element e = element_of(width, stride);
  if (e.row < rows) y[e.at] = activate(activation, x[e.at]);
}

__global__ void __launch_bounds__(kThreads)
    activation_backward_kernel(float* dx, float* y, const float* dy, const float* x, Activation activation,
                               int64_t stride, int64_t width, int64_t rows) {
  const Element e = element_of(width, stride);
  if (e.row >= rows) return;
  const float value = x[e.at], slope = activation_slope(activation, value);
  dx[e.at] = dy[e.at] * slope;
  y[e.at] = activate(activation, value);
}

// The same, rounded for products: a thread has a chunk of 8 values. `dy` null: y alone.
__global__ void __launch_bounds__(kThreads)
    rounded_activation_kernel(Tiles dx, Tiles y, const float* dy, const float* x, Activation activation,
                              int64_t stride, int width, int rows) {
  const int chunks = static_cast<int>(y.across) * kTileChunks;
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int row = static_cast<int>(i / chunks), column = static_cast<int>(i % chunks) * kTileChunk;
  if (row >= rows) return;
  const int64_t at = row * stride + column;
  float values[2][4], gradients[2][4];
#pragma unroll
  for (int four = 0; four < 2; ++four) {
    load_four(values[four], x + at - column, column + 4 * four, width);
    if (dy) load_four(gradients[four], dy + at - column, column + 4 * four, width);
  }
  uint32_t of_y[4], of_dx[4];
#pragma unroll
  for (int e = 0; e < kTileChunk; e += 2) {
    const float low = values[e / 4][e % 4], high = values[e / 4][e % 4 + 1];
    of_y[e / 2] = pack_bf16(activate_briefly(activation, low), activate_briefly(activation, high));
    if (dy)
      of_dx[e / 2] = pack_bf16(gradients[e / 4][e % 4] * activation_slope(activation, low),
                               gradients[e / 4][e % 4 + 1] * activation_slope(activation, high));
  }
  *reinterpret_cast<uint4*>(y.at(row, column)) = {of_y[0], of_y[1], of_y[2], of_y[3]};
  if (dy) *reinterpret_cast<uint4*>(dx.at(row, column)) = {of_dx[0], of_dx[1], of_dx[2], of_dx[3]};
}

__global__ void __launch_bounds__(kThreads)
    dropout_kernel(float* y, const float* x, Dropout dropout, int64_t stride, int64_t width, int64_t rows) {
  const Element e = element_of(width, stride);
  if (e.row < rows) y[e.at] = x[e.at] * keep_factor(dropout, e.row, e.column);
}

}  // namespace

void activate(float* y, int64_t y_stride, Activation activation, int64_t width, int64_t rows,
              Operation& operation) {
  launch(activation_kernel, blocks_of(rows * width, kThreads), kThreads, 0, operation.stream(), y, y,
         activation, y_stride, width, rows);
}

void CudaBackend::activation_forward(float* y, const float* x, Activation activation, Precision readers,
                                     int64_t width, int64_t rows) {
  Operation operation(memory_);
  const int64_t stride = row_stride(width);
  const float* const from = operation.in(x, stride, width, rows);
  if (readers == Precision::kBf16 && memory_.is_device(y)) {
    const Tiles rounded = memory_.keep_rounded(y, width, rows, true);
    launch(rounded_activation_kernel, blocks_of(rows * rounded.across * kTileChunks, kThreads), kThreads, 0,
           operation.stream(), Tiles{}, rounded, nullptr, from, activation, stride, static_cast<int>(width),
           static_cast<int>(rows));
    return;
  }
  launch(activation_kernel, blocks_of(rows * width, kThreads), kThreads, 0, operation.stream(),
         operation.out(y, stride, width, rows), from, activation, stride, width, rows);
  operation.finish();
}

void CudaBackend::activation_backward(float* dx, float* y, const float* dy, const float* x,
                                      Activation activation, Precision readers, int64_t width, int64_t rows) {
  Operation operation(memory_);
  const int64_t stride = row_stride(width);
  const float* const from = operation.in(x, stride, width, rows);
  const float* const dfrom = operation.in(dy, stride, width, rows);
  if (readers == Precision::kBf16 && memory_.is_device(dx) && memory_.is_device(y)) {
    const Tiles of_x = memory_.keep_rounded(dx, width, rows, true);
    const Tiles of_y = memory_.keep_rounded(y, width, rows, true);
    launch(rounded_activation_kernel, blocks_of(rows * of_y.across * kTileChunks, kThreads), kThreads, 0,
           operation.stream(), of_x, of_y, dfrom, from, activation, stride, static_cast<int>(width),
           static_cast<int>(rows));
    return;
  }
  float* const to = operation.out(dx, stride, width, rows);
  launch(activation_backward_kernel, blocks_of(rows * width, kThreads), kThreads, 0, operation.stream(), to,
         operation.out(y, stride, width, rows), dfrom, from, activation, stride, width, rows);
  operation.finish();
}

void CudaBackend::dropout_forward(float* y, const float* x, const Dropout& dropout, int64_t width,
                                  int64_t rows) {
  Operation operation(memory_);
  const int64_t stride = row_stride(width);
  const float* const from = operation.in(x, stride, width, rows);
  launch(dropout_kernel, blocks_of(rows * width, kThreads), kThreads, 0, operation.stream(),
         operation.out(y, stride, width, rows), from, dropout, stride, width, rows);
  operation.finish();
}

}  // namespace albert::cuda
