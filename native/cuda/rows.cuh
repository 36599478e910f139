// Rows as warps hold them for LayerNorm: four values a lane at a time, in registers where they fit.
#pragma once

#include "cuda/common.cuh"
#include "cuda/tiles.cuh"

namespace albert::cuda {

constexpr int kRowThreads = 256, kRowsPerBlock = kRowThreads / kWarp;
constexpr int kMostVectors = 8, kNarrowWidth = kMostVectors * 4 * kWarp;  // of a row in registers

// The row of this warp.
__device__ inline int warp_row() {
  return static_cast<int>(blockIdx.x) * kRowsPerBlock + static_cast<int>(threadIdx.x) / kWarp;
}

// body(vector, column) for every four columns of this lane, up to a whole tile.
template <bool kNarrow, typename Body>
__device__ void for_fours(int width, const Body& body) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, end = round_up(width, kTile);
  if constexpr (kNarrow) {
#pragma unroll
    for (int v = 0; v < kMostVectors; ++v) {
      const int column = (v * kWarp + lane) * 4;
      if (column < end) body(v, column);
    }
  } else {
    for (int column = lane * 4; column < end; column += 4 * kWarp) body(0, column);
  }
}

// Four values from `column` on; zero past `width`. The row has an address on 16 bytes and room for the fourth
// value, as those of row_stride() have.
__device__ inline void load_four(float (&values)[4], const float* row, int column, int width) {
  const float4 four = column < width ? *reinterpret_cast<const float4*>(row + column) : float4{0, 0, 0, 0};
  values[0] = four.x;
  values[1] = column + 1 < width ? four.y : 0;
  values[2] = column + 2 < width ? four.z : 0;
  values[3] = column + 3 < width ? four.w : 0;
}
// The same for parameters, which lie anywhere.
__device__ inline void load_parameters(float (&values)[4], const float* parameters, int column, int width) {
  if (column + 4 <= width && reinterpret_cast<uintptr_t>(parameters) % 16 == 0) {
    load_four(values, parameters, column, width);
    return;
  }
#pragma unroll
  for (int e = 0; e < 4; ++e) values[e] = column + e < width ? parameters[column + e] : 0;
}
__device__ inline void store_four(float* row, int column, int width, const float (&values)[4]) {
  if (column < width) *reinterpret_cast<float4*>(row + column) = {values[0], values[1], values[2], values[3]};
}

// A row that `load(values, column)` brings, once where it fits registers, else whenever it is asked.
template <bool kNarrow, typename Load>
class Row {
 public:
  __device__ Row(int width, const Load& load) : load_(load) {
    if constexpr (kNarrow) for_fours<true>(width, [&](int v, int column) { load_(kept_[v], column); });
  }
  __device__ void get(float (&values)[4], int vector, int column) const {
    if constexpr (kNarrow) {
#pragma unroll
      for (int e = 0; e < 4; ++e) values[e] = kept_[vector][e];
    } else {
      load_(values, column);
    }
  }

 private:
  Load load_;
  float kept_[kNarrow ? kMostVectors : 1][4];
};

struct Moments {
  float mean, inverse;  // 1 / sqrt(variance + epsilon)
};
template <bool kNarrow, typename Load>
__device__ Moments moments_of(const Row<kNarrow, Load>& row, int width, float epsilon) {
  float sum = 0, squares = 0;
  for_fours<kNarrow>(width, [&](int v, int column) {
    float x[4];
    row.get(x, v, column);
    sum += x[0] + x[1] + (x[2] + x[3]);
  });
  const float mean = warp_sum(sum) / static_cast<float>(width);
  for_fours<kNarrow>(width, [&](int v, int column) {
    float x[4];
    row.get(x, v, column);
#pragma unroll
    for (int e = 0; e < 4; ++e) squares += column + e < width ? (x[e] - mean) * (x[e] - mean) : 0;
  });
  return {mean, 1 / sqrtf(warp_sum(squares) / static_cast<float>(width) + epsilon)};
}

// Calls body(std::bool_constant<narrow>).
template <typename Body>
void by_width(int64_t width, const Body& body) {
  width <= kNarrowWidth ? body(std::true_type{}) : body(std::false_type{});
}

inline dim3 row_blocks(int64_t rows) { return blocks_of(rows, kRowsPerBlock); }

}  // namespace albert::cuda
