// Products y = x W^T of fp32 by fused multiply-adds, each sum one chain in the order of the depth.
#pragma once

#include "cuda/epilogue.cuh"

namespace albert::cuda {

constexpr int kFp32Threads = 256;

// kBlock rows of a factor along kStep of the depth, four values to a thread, on their way from memory to a
// tile of shared memory in which four neighbouring rows lie together.
template <int kBlock>
class FactorStep {
  static constexpr int kFour = 4;

 public:
  static constexpr int kStep = kFour * kFp32Threads / kBlock;
  using Tile = float[kStep][kBlock + kFour];

  // matrix [rows, depth] from row `first` on.
  __device__ FactorStep(const float* matrix, int64_t stride, int64_t first, int64_t rows, int64_t depth)
      : row_(matrix + (first + line()) * stride), depth_(first + line() < rows ? depth : 0) {
    aligned_ = stride % kFour == 0 && reinterpret_cast<uintptr_t>(matrix) % sizeof(float4) == 0;
  }
  // Asks for what begins at `begin`; zeros past the rows and the depth.
  __device__ void fetch(int64_t begin) {
    const int64_t k = begin + column();
    if (aligned_ && k + kFour <= depth_) {
      values_ = *reinterpret_cast<const float4*>(row_ + k);
    } else {
      const auto at = [&](int e) { return k + e < depth_ ? row_[k + e] : 0; };
      values_ = {at(0), at(1), at(2), at(3)};
    }
  }
  __device__ void put(Tile& tile) const {
    const float of[kFour] = {values_.x, values_.y, values_.z, values_.w};
#pragma unroll
    for (int e = 0; e < kFour; ++e) tile[column() + e][line()] = of[e];
  }

 private:
  __device__ static int column() { return static_cast<int>(threadIdx.x) % (kStep / kFour) * kFour; }
  __device__ static int line() { return static_cast<int>(threadIdx.x) / (kStep / kFour); }

  const float* row_;
  int64_t depth_;  // 0 past the last row
  bool aligned_;
  float4 values_;
};

// A block computes kBlock x kBlock sums, a thread kSide x kSide of them, in groups of four rows and four
// columns that lie 64 apart. While it multiplies one step of the depth it fetches the next. Parts of the
// depth are added up apart, the results of one part below those of the part before.
template <int kSide, typename Store>
__global__ void __launch_bounds__(kFp32Threads, 2)
    multiply_fp32_kernel(const float* x, int64_t x_stride, const float* weights, int64_t depth,
                         int64_t part_depth, int64_t rows, int64_t out, Store store) {
  constexpr int kGrid = 16, kBlock = kSide * kGrid, kApart = 4 * kGrid;
  using Factor = FactorStep<kBlock>;
  alignas(16) __shared__ typename Factor::Tile x_tile[2], w_tile[2];
  const int64_t first_row = int64_t{blockIdx.y} * kBlock, first_column = int64_t{blockIdx.x} * kBlock;
  const int thread_row = static_cast<int>(threadIdx.x) / kGrid * 4,
            thread_column = static_cast<int>(threadIdx.x) % kGrid * 4;
  const int64_t part = blockIdx.z, from = part * part_depth,
                to = from + part_depth < depth ? from + part_depth : depth;
  Factor x_step(x, x_stride, first_row, rows, to), w_step(weights, depth, first_column, out, to);
  const auto fetch = [&](int64_t begin) { x_step.fetch(begin), w_step.fetch(begin); };
  const auto put = [&](int stage) { x_step.put(x_tile[stage]), w_step.put(w_tile[stage]); };

  float sums[kSide][kSide] = {};
  fetch(from);
  put(0);
  __syncthreads();
  int stage = 0;
  for (int64_t begin = from; begin < to; begin += Factor::kStep, stage ^= 1) {
    const bool more = begin + Factor::kStep < to;
    if (more) fetch(begin + Factor::kStep);
#pragma unroll
    for (int k = 0; k < Factor::kStep; ++k) {
      float a[kSide], b[kSide];
      const auto load = [&](float* of, const float* line, int first) {
#pragma unroll
        for (int i = 0; i < kSide; i += 4) {
          const float4 four = *reinterpret_cast<const float4*>(line + i / 4 * kApart + first);
          of[i] = four.x, of[i + 1] = four.y, of[i + 2] = four.z, of[i + 3] = four.w;
        }
      };
      load(a, x_tile[stage][k], thread_row);
      load(b, w_tile[stage][k], thread_column);
#pragma unroll
      for (int i = 0; i < kSide; ++i)
#pragma unroll
        for (int j = 0; j < kSide; ++j) sums[i][j] = fmaf(a[i], b[j], sums[i][j]);
    }
    if (more) {
      put(stage ^ 1);
      __syncthreads();
    }
  }
#pragma unroll
  for (int i = 0; i < kSide; ++i) {
    const int row = static_cast<int>(first_row) + i / 4 * kApart + thread_row + i % 4;
#pragma unroll
    for (int j = 0; j < kSide; j += 4) {
      const int column = static_cast<int>(first_column) + j / 4 * kApart + thread_column;
      if (row >= rows || column >= out) continue;
      const float* const bias = store.bias ? store.bias + column : nullptr;
      const auto pair_at = [&](int k) {
        return HeldRows::hold(bias ? float2{bias[k], bias[k + 1]} : float2{0, 0}, sums[i][j + k],
                              sums[i][j + k + 1]);
      };
      const float2 first = pair_at(0), second = pair_at(2);
      const int result = static_cast<int>(part * rows) + row;
      store.chunk(result, column, {first.x, first.y, second.x, second.y}, store.before(result, column));
    }
  }
}

}  // namespace albert::cuda
