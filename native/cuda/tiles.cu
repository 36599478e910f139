// Rounding of fp32 matrices to bf16 tiles, as they are or transposed, and the way back.
#include "cuda/tiles.h"

#include "cuda/common.cuh"

namespace albert::cuda {
namespace {

constexpr int kThreads = 256;

// A thread has a chunk of 8 values.
__global__ void __launch_bounds__(kThreads)
    round_rows_kernel(Tiles y, int first_row, const float* x, int64_t x_stride, int width, int rows,
                      bool aligned) {
  const int chunks = static_cast<int>(y.across) * kTileChunks;
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int row = static_cast<int>(i / chunks), column = static_cast<int>(i % chunks) * kTileChunk;
  if (row >= rows) return;
  const float* const from = x + row * x_stride + column;
  float values[kTileChunk];
  if (aligned && column + kTileChunk <= width) {
    *reinterpret_cast<float4*>(values) = *reinterpret_cast<const float4*>(from);
    *reinterpret_cast<float4*>(values + 4) = *reinterpret_cast<const float4*>(from + 4);
  } else {
#pragma unroll
    for (int k = 0; k < kTileChunk; ++k) values[k] = column + k < width ? from[k] : 0;
  }
  *reinterpret_cast<uint4*>(y.at(first_row + row, column)) = {
      pack_bf16(values[0], values[1]), pack_bf16(values[2], values[3]), pack_bf16(values[4], values[5]),
      pack_bf16(values[6], values[7])};
}

__global__ void __launch_bounds__(kThreads)
    expand_rows_kernel(float* y, int64_t y_stride, Tiles x, int width, int rows) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x, row = i / width;
  if (row < rows) y[row * y_stride + i % width] = value_of(*x.at(row, i % width));
}

__global__ void __launch_bounds__(kThreads)
    copy_columns_kernel(Tiles y, Tiles x, int first, int width, int padded_rows) {
  const int padded_width = static_cast<int>(y.across) * kTile;
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x, row = i / padded_width;
  const int column = static_cast<int>(i % padded_width);
  if (row < padded_rows) *y.at(row, column) = column < width ? *x.at(row, first + column) : uint16_t{0};
}

// Squares of 64 in shared memory.
__global__ void __launch_bounds__(kThreads)
    round_columns_kernel(Tiles y, int first_column, const float* x, int64_t x_stride, int width, int rows,
                         int padded_rows) {
  __shared__ float square[kTile][kTile + 1];
  const int column = static_cast<int>(blockIdx.x) * kTile, row = static_cast<int>(blockIdx.y) * kTile;
  for (int i = static_cast<int>(threadIdx.x); i < kTileValues; i += kThreads) {
    const int r = i / kTile, c = i % kTile;
    square[r][c] = row + r < rows && column + c < width ? x[(row + r) * x_stride + column + c] : 0;
  }
  __syncthreads();
  const bool whole = (first_column + row) % kTileChunk == 0 && row + kTile <= padded_rows;
  for (int i = static_cast<int>(threadIdx.x); i < kTileValues / kTileChunk; i += kThreads) {
    const int c = i / kTileChunks, r = i % kTileChunks * kTileChunk;
    if (column + c >= width) continue;
    float values[kTileChunk];
#pragma unroll
    for (int k = 0; k < kTileChunk; ++k) values[k] = square[r + k][c];
    if (whole) {
      *reinterpret_cast<uint4*>(y.at(column + c, first_column + row + r)) = {
          pack_bf16(values[0], values[1]), pack_bf16(values[2], values[3]), pack_bf16(values[4], values[5]),
          pack_bf16(values[6], values[7])};
      continue;
    }
#pragma unroll
    for (int k = 0; k < kTileChunk; ++k)
      if (row + r + k < padded_rows) store_value(y.at(column + c, first_column + row + r + k), values[k]);
  }
}

}  // namespace

void round_rows(const Tiles& y, int64_t first_row, const float* x, int64_t x_stride, int64_t width,
                int64_t rows, cudaStream_t stream) {
  const bool aligned = x_stride % 4 == 0 && reinterpret_cast<uintptr_t>(x) % 16 == 0;
  launch(round_rows_kernel, blocks_of(rows * y.across * kTileChunks, kThreads), kThreads, 0, stream, y,
         static_cast<int>(first_row), x, x_stride, static_cast<int>(width), static_cast<int>(rows), aligned);
}

void expand_rows(float* y, int64_t y_stride, const Tiles& x, int64_t width, int64_t rows,
                 cudaStream_t stream) {
  launch(expand_rows_kernel, blocks_of(rows * width, kThreads), kThreads, 0, stream, y, y_stride, x,
         static_cast<int>(width), static_cast<int>(rows));
}

void copy_columns(const Tiles& y, const Tiles& x, int64_t first, int64_t width, int64_t rows,
                  cudaStream_t stream) {
  const int64_t padded_rows = tiles_of(rows) * kTile;
  launch(copy_columns_kernel, blocks_of(padded_rows * y.across * kTile, kThreads), kThreads, 0, stream, y, x,
         static_cast<int>(first), static_cast<int>(width), static_cast<int>(padded_rows));
}

void round_columns(const Tiles& y, int64_t first_column, const float* x, int64_t x_stride, int64_t width,
                   int64_t rows, int64_t padded_rows, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(tiles_of(width)), static_cast<unsigned>(tiles_of(padded_rows)));
  launch(round_columns_kernel, grid, kThreads, 0, stream, y, static_cast<int>(first_column), x, x_stride,
         static_cast<int>(width), static_cast<int>(rows), static_cast<int>(padded_rows));
}

}  // namespace albert::cuda
