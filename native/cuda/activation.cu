// Activation functions and dropout over whole matrices.
#include "cuda/backend.h"
#include "cuda/common.cuh"

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

void CudaBackend::activation_forward(float* y, const float* x, Activation activation, int64_t width,
                                     int64_t rows) {
  Operation operation(memory_);
  const int64_t stride = row_stride(width);
  const float* const from = operation.in(x, stride, width, rows);
  launch(activation_kernel, blocks_of(rows * width, kThreads), kThreads, 0, operation.stream(),
         operation.out(y, stride, width, rows), from, activation, stride, width, rows);
  operation.finish();
}

void CudaBackend::activation_backward(float* dx, float* y, const float* dy, const float* x,
                                      Activation activation, int64_t width, int64_t rows) {
  Operation operation(memory_);
  const int64_t stride = row_stride(width);
  const float* const from = operation.in(x, stride, width, rows);
  const float* const dfrom = operation.in(dy, stride, width, rows);
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
