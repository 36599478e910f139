// Rows as warps hold them for LayerNorm: four values a lane at a time, in registers where they fit.
#pragma once

#include <type_traits>

#include "cuda/common.cuh"
#include "cuda/tiles.cuh"

namespace albert::cuda {

constexpr int kRowThreads = 256, kMostRowsPerBlock = kRowThreads / kWarp;

// The row of this warp.
__device__ inline int warp_row() { return static_cast<int>((blockIdx.x * blockDim.x + threadIdx.x) / kWarp); }

// body(vector, column) for every four columns of this lane, up to a whole tile. kVectors is how many a row
// has at most, so that all of them are registers; 0: any number.
template <int kVectors, typename Body>
__device__ void for_fours(int width, const Body& body) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if constexpr (kVectors > 0) {
#pragma unroll
    for (int v = 0; v < kVectors; ++v) body(v, (v * kWarp + lane) * 4);
  } else {
    for (int column = lane * 4; column < round_up(width, kTile); column += 4 * kWarp) body(0, column);
  }
}

// Sources of four values: fetch() only loads, from an address that is always valid, and finish() makes the
// values, zero past the width. Between the two a warp waits once for all it has asked for.

__device__ inline void finish_four(float (&values)[4], const float4& four, int column, int width) {
  values[0] = column < width ? four.x : 0;
  values[1] = column + 1 < width ? four.y : 0;
  values[2] = column + 2 < width ? four.z : 0;
  values[3] = column + 3 < width ? four.w : 0;
}

// A row with an address on 16 bytes and room for the fourth value, as those of row_stride() have.
struct RowSource {
  const float* row;
  int width;

  using Raw = float4;
  __device__ Raw fetch(int column) const {
    return *reinterpret_cast<const float4*>(row + (column < width ? column : 0));
  }
  __device__ void finish(float (&values)[4], const Raw& raw, int column) const {
    finish_four(values, raw, column, width);
  }
};

// Parameters, which lie anywhere.
struct ParameterSource {
  const float* parameters;
  int width;

  using Raw = float4;
  __device__ Raw fetch(int column) const {
    if (column + 4 <= width && reinterpret_cast<uintptr_t>(parameters) % 16 == 0)
      return *reinterpret_cast<const float4*>(parameters + column);
    const auto value = [&](int i) { return parameters[i < width ? i : 0]; };
    return {value(column), value(column + 1), value(column + 2), value(column + 3)};
  }
  __device__ void finish(float (&values)[4], const Raw& raw, int column) const {
    finish_four(values, raw, column, width);
  }
};

__device__ inline void store_four(float* row, int column, int width, const float (&values)[4]) {
  if (column < width) *reinterpret_cast<float4*>(row + column) = {values[0], values[1], values[2], values[3]};
}
__device__ inline void store_four(const Tiles& tiles, int row, int column, const float (&values)[4]) {
  if (column < tiles.across * kTile)
    *reinterpret_cast<uint2*>(tiles.at(row, column)) = {pack_bf16(values[0], values[1]),
                                                        pack_bf16(values[2], values[3])};
}

// What has been asked for of a row.
template <int kVectors, typename Source>
struct Fetched {
  Source source;
  typename Source::Raw raw[kVectors > 0 ? kVectors : 1];

  __device__ explicit Fetched(const Source& source) : source(source) {
    if constexpr (kVectors > 0)
      for_fours<kVectors>(source.width, [&](int v, int column) { raw[v] = source.fetch(column); });
  }
  __device__ void get(float (&values)[4], int vector, int column) const {
    source.finish(values, kVectors > 0 ? raw[vector] : source.fetch(column), column);
  }
};

// The values of a row, in registers where they fit, else fetched whenever they are asked for.
template <int kVectors, typename Source>
class Row {
 public:
  __device__ explicit Row(const Fetched<kVectors, Source>& fetched) : source_(fetched.source) {
    if constexpr (kVectors > 0)
      for_fours<kVectors>(source_.width, [&](int v, int column) { fetched.get(kept_[v], v, column); });
  }
  __device__ void get(float (&values)[4], int vector, int column) const {
    if constexpr (kVectors > 0) {
#pragma unroll
      for (int e = 0; e < 4; ++e) values[e] = kept_[vector][e];
    } else {
      source_.finish(values, source_.fetch(column), column);
    }
  }

 private:
  Source source_;
  float kept_[kVectors > 0 ? kVectors : 1][4];
};

struct Moments {
  float mean, inverse;  // 1 / sqrt(variance + epsilon)
};
template <int kVectors, typename Source>
__device__ Moments moments_of(const Row<kVectors, Source>& row, int width, float epsilon) {
  float sum = 0, squares = 0;
  for_fours<kVectors>(width, [&](int v, int column) {
    float x[4];
    row.get(x, v, column);
    sum += x[0] + x[1] + (x[2] + x[3]);
  });
  const float mean = warp_sum(sum) / static_cast<float>(width);
  for_fours<kVectors>(width, [&](int v, int column) {
    float x[4];
    row.get(x, v, column);
#pragma unroll
    for (int e = 0; e < 4; ++e) squares += column + e < width ? (x[e] - mean) * (x[e] - mean) : 0;
  });
  return {mean, 1 / sqrtf(warp_sum(squares) / static_cast<float>(width) + epsilon)};
}

// Calls body(std::integral_constant<int, kVectors>).
template <typename Body>
void by_width(int64_t width, const Body& body) {
  const int64_t vectors = divide_up<int64_t>(width, 4 * kWarp);
  if (vectors <= 2)
    body(std::integral_constant<int, 2>{});
  else if (vectors <= 4)
    body(std::integral_constant<int, 4>{});
  else if (vectors <= 6)
    body(std::integral_constant<int, 6>{});
  else if (vectors <= 8)
    body(std::integral_constant<int, 8>{});
  else
    body(std::integral_constant<int, 0>{});
}

// A warp for each row: few rows have small blocks, so that many multiprocessors share them.
struct RowBlocks {
  dim3 grid;
  int threads;

  explicit RowBlocks(int64_t rows) : threads(rows > 1024 ? kRowThreads : 2 * kWarp) {
    grid = blocks_of(rows * kWarp, threads);
  }
};

}  // namespace albert::cuda
