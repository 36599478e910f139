// Sums over rows, in an order that the number of rows fixes.
#include "cuda/backend.h"
#include "cuda/common.cuh"

namespace albert::cuda {
namespace {

constexpr int kThreads = 256;
// Rows that one block adds up, before the blocks are added in order.
constexpr int64_t kSumRows = 128;

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

__global__ void __launch_bounds__(kThreads)
    add_parts_kernel(float* sums, const float* parts, int64_t part_stride, int64_t width, int64_t count) {
  const int64_t column = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (column >= width) return;
  float sum = 0;
#pragma unroll 8
  for (int64_t part = 0; part < count; ++part) sum += parts[part * part_stride + column];
  sums[column] += sum;
}

}  // namespace

void add_parts(float* sums, const float* parts, int64_t part_stride, int64_t width, int64_t count,
               Operation& operation) {
  launch(add_parts_kernel, blocks_of(width, kThreads), kThreads, 0, operation.stream(), sums, parts,
         part_stride, width, count);
}

void add_column_sums(float* sums, const float* x, int64_t x_stride, int64_t width, int64_t rows,
                     Operation& operation) {
  const int64_t blocks = divide_up(rows, kSumRows);
  float* const parts = operation.scratch<float>(blocks * width);
  launch(partial_sums_kernel, dim3(blocks_of(width, kThreads).x, static_cast<unsigned>(blocks)), kThreads, 0,
         operation.stream(), parts, x, x_stride, width, rows);
  add_parts(sums, parts, width, width, blocks, operation);
}

}  // namespace albert::cuda
