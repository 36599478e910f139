// Products y = x W^T with both factors row-major along the depth, and what happens to their sums.
#pragma once

#include "cuda/common.cuh"

namespace albert::cuda {

// y = activation(sum + bias), or y += sum + bias.
template <typename T>
struct StoreRows {
  T* y;  // [rows, stride]
  int64_t stride;
  const float* bias;  // [out], or null
  Activation activation;
  bool accumulate;

  __device__ void operator()(int64_t row, int64_t column, float sum) const {
    T* const to = y + row * stride + column;
    if (bias) sum += bias[column];
    store_value(to, accumulate ? value_of(*to) + sum : activate(activation, sum));
  }
};

// Query, key and value, head by head.
template <typename T>
struct StoreHeads {
  T* parts[3];  // each [A, rows, stride]
  int64_t rows, size, stride, hidden;
  const float* bias;  // [3H]

  __device__ void operator()(int64_t row, int64_t column, float sum) const {
    const int64_t part = column / hidden, within = column - part * hidden, head = within / size;
    T* const to = parts[part] + (head * rows + row) * stride + within - head * size;
    store_value(to, sum + bias[column]);
  }
};

// x [rows, x_stride] and weights [out, depth] of fp32, on a chain of fused multiply-adds in the order of the depth.
template <typename Store>
void multiply(const float* x, int64_t x_stride, const float* weights, int64_t depth, int64_t rows,
              int64_t out, const Store& store, cudaStream_t stream);
// x [rows, depth] and weights [out, depth] of bf16, depth a multiple of kDepthStep; sums in fp32.
template <typename Store>
void multiply(const uint16_t* x, const uint16_t* weights, int64_t depth, int64_t rows, int64_t out,
              const Store& store, cudaStream_t stream);
constexpr int64_t kDepthStep = 32;

}  // namespace albert::cuda
