// Products y = x W^T of fp32 by fused multiply-adds, each sum one chain in the order of the depth.
#pragma once

#include "cuda/epilogue.cuh"

namespace albert::cuda {

constexpr int kFp32Threads = 256;

// A block computes kBlock x kBlock sums, a thread kSide x kSide of them.
template <int kSide, typename Store>
__global__ void __launch_bounds__(kFp32Threads)
    multiply_fp32_kernel(const float* x, int64_t x_stride, const float* weights, int64_t depth, int64_t rows,
                         int64_t out, Store store) {
  constexpr int kGrid = 16, kBlock = kSide * kGrid, kStep = 16, kPadded = kBlock + 4;
  __shared__ float x_tile[kStep][kPadded], w_tile[kStep][kPadded];
  const int64_t first_row = int64_t{blockIdx.y} * kBlock, first_column = int64_t{blockIdx.x} * kBlock;
  const int thread_row = threadIdx.x / kGrid, thread_column = threadIdx.x % kGrid;
  float sums[kSide][kSide] = {};
  for (int64_t begin = 0; begin < depth; begin += kStep) {
    const int k = threadIdx.x % kStep;
    for (int line = threadIdx.x / kStep; line < kBlock; line += kFp32Threads / kStep) {
      const int64_t row = first_row + line, column = first_column + line;
      const bool inside = begin + k < depth;
      x_tile[k][line] = inside && row < rows ? x[row * x_stride + begin + k] : 0;
      w_tile[k][line] = inside && column < out ? weights[column * depth + begin + k] : 0;
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kStep; ++k) {
      float a[kSide], b[kSide];
#pragma unroll
      for (int i = 0; i < kSide; ++i) {
        a[i] = x_tile[k][thread_row * kSide + i];
        b[i] = w_tile[k][thread_column * kSide + i];
      }
#pragma unroll
      for (int i = 0; i < kSide; ++i)
#pragma unroll
        for (int j = 0; j < kSide; ++j) sums[i][j] = fmaf(a[i], b[j], sums[i][j]);
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < kSide; ++i) {
    const int row = static_cast<int>(first_row) + thread_row * kSide + i;
#pragma unroll
    for (int j = 0; j < kSide; j += 4) {
      const int column = static_cast<int>(first_column) + thread_column * kSide + j;
      if (row >= rows || column >= out) continue;
      const float* const bias = store.bias ? store.bias + column : nullptr;
      const auto pair_at = [&](int k) {
        return HeldRows::hold(bias ? float2{bias[k], bias[k + 1]} : float2{0, 0}, sums[i][j + k],
                              sums[i][j + k + 1]);
      };
      const float2 first = pair_at(0), second = pair_at(2);
      store.chunk(row, column, {first.x, first.y, second.x, second.y}, store.before(row, column));
    }
  }
}

}  // namespace albert::cuda
