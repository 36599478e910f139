// Sums over rows, in an order that the number of rows fixes.
#include "cuda/backend.h"
#include "cuda/common.cuh"

namespace albert::cuda {
namespace {

constexpr int kThreads = 256;
// Rows that one block adds up, before the blocks are added in order.
constexpr int64_t kSumRows = 128, kTileSumRows = 512;

// parts[block][c]: the sum over kSumRows rows of column c; a thread has a column.
__global__ void __launch_bounds__(kThreads)
    partial_sums_kernel(float* parts, const float* x, int64_t x_stride, int64_t width, int64_t rows) {
  const int64_t column = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int64_t begin = int64_t{blockIdx.y} * kSumRows;
  const int64_t end = begin + kSumRows < rows ? begin + kSumRows : rows;
  if (column >= width) return;
  float sum = 0;
#pragma unroll 8
  for (int64_t row = begin; row < end; ++row) sum += x[row * x_stride + column];
  parts[int64_t{blockIdx.y} * width + column] = sum;
}

// The same of tiles: a block adds up 64 columns, a thread every 32nd row of a chunk.
__global__ void __launch_bounds__(kThreads)
    partial_tile_sums_kernel(float* parts, Tiles x, int width, int rows) {
  constexpr int kLines = kThreads / kTileChunks;
  __shared__ float sums[kLines][kTile];
  const int line = static_cast<int>(threadIdx.x) / kTileChunks;
  const int chunk = static_cast<int>(threadIdx.x) % kTileChunks;
  const int column = static_cast<int>(blockIdx.x) * kTile;
  const int begin = static_cast<int>(blockIdx.y) * static_cast<int>(kTileSumRows);
  const int end = min(begin + static_cast<int>(kTileSumRows), rows);
  float sum[kTileChunk] = {};
#pragma unroll 4
  for (int row = begin + line; row < end; row += kLines) {
    const uint4 values = *reinterpret_cast<const uint4*>(x.at(row, column + chunk * kTileChunk));
    const uint32_t pairs[4] = {values.x, values.y, values.z, values.w};
#pragma unroll
    for (int e = 0; e < kTileChunk; ++e)
      sum[e] += value_of(static_cast<uint16_t>(pairs[e / 2] >> (e % 2 * 16)));
  }
#pragma unroll
  for (int e = 0; e < kTileChunk; ++e) sums[line][chunk * kTileChunk + e] = sum[e];
  __syncthreads();
  const int own = static_cast<int>(threadIdx.x);
  if (own >= kTile || column + own >= width) return;
  float total = 0;
#pragma unroll
  for (int i = 0; i < kLines; ++i) total += sums[i][own];
  parts[int64_t{blockIdx.y} * width + column + own] = total;
}

// A block adds up 32 columns, a warp every eighth part of them.
__global__ void __launch_bounds__(kThreads)
    add_parts_kernel(float* sums, const float* parts, int64_t part_stride, int64_t width, int64_t count) {
  constexpr int kWarps = kThreads / kWarp;
  __shared__ float of_warps[kWarps][kWarp];
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t column = int64_t{blockIdx.x} * kWarp + lane;
  float sum = 0;
  if (column < width) {
#pragma unroll 4
    for (int64_t part = warp; part < count; part += kWarps) sum += parts[part * part_stride + column];
  }
  of_warps[warp][lane] = sum;
  __syncthreads();
  if (warp != 0 || column >= width) return;
  float total = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) total += of_warps[w][lane];
  sums[column] += total;
}

// The same of few parts: a thread has a column.
constexpr int64_t kFewParts = 8;
__global__ void __launch_bounds__(kThreads)
    add_few_parts_kernel(float* sums, const float* parts, int64_t part_stride, int64_t width, int count) {
  const int64_t column = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (column >= width) return;
  float total = 0;
#pragma unroll
  for (int part = 0; part < kFewParts; ++part)
    if (part < count) total += parts[part * part_stride + column];
  sums[column] += total;
}

}  // namespace

void add_parts(float* sums, const float* parts, int64_t part_stride, int64_t width, int64_t count,
               Operation& operation) {
  if (count <= kFewParts) {
    launch(add_few_parts_kernel, blocks_of(width, kThreads), kThreads, 0, operation.stream(), sums, parts,
           part_stride, width, static_cast<int>(count));
    return;
  }
  launch(add_parts_kernel, blocks_of(width, kWarp), kThreads, 0, operation.stream(), sums, parts, part_stride,
         width, count);
}

void add_column_sums(float* sums, const float* x, int64_t x_stride, int64_t width, int64_t rows,
                     Operation& operation) {
  const int64_t blocks = divide_up(rows, kSumRows);
  float* const parts = operation.scratch<float>(blocks * width);
  launch(partial_sums_kernel, dim3(blocks_of(width, kThreads).x, static_cast<unsigned>(blocks)), kThreads, 0,
         operation.stream(), parts, x, x_stride, width, rows);
  add_parts(sums, parts, width, width, blocks, operation);
}

void add_column_sums(float* sums, const Tiles& x, int64_t width, int64_t rows, Operation& operation) {
  const int64_t blocks = divide_up(rows, kTileSumRows);
  float* const parts = operation.scratch<float>(blocks * width);
  launch(partial_tile_sums_kernel,
         dim3(static_cast<unsigned>(tiles_of(width)), static_cast<unsigned>(blocks)), kThreads, 0,
         operation.stream(), parts, x, static_cast<int>(width), static_cast<int>(rows));
  add_parts(sums, parts, width, width, blocks, operation);
}

}  // namespace albert::cuda
