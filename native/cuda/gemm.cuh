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
  T *query, *key, *value;  // [A, rows, stride]
  int64_t rows, size, stride, hidden;
  const float* bias;  // [3H]

  __device__ void operator()(int64_t row, int64_t column, float sum) const {
    const int64_t part = column / hidden, within = column - part * hidden, head = within / size;
    T* const matrix = part == 0 ? query : part == 1 ? key : value;
    T* const to = matrix + (head * rows + row) * stride + within - head * size;
    store_value(to, sum + bias[column]);
  }
};

constexpr int64_t kDepthStep = 32;

constexpr int kGemmThreads = 256;

// ---- fp32: a block computes kTile x kTile sums, a thread kSide x kSide of them

template <int kSide, typename Store>
__global__ void __launch_bounds__(kGemmThreads)
    multiply_fp32_kernel(const float* x, int64_t x_stride, const float* weights, int64_t depth, int64_t rows,
                         int64_t out, Store store) {
  constexpr int kGrid = 16, kTile = kSide * kGrid, kStep = 16, kPadded = kTile + 4;
  __shared__ float x_tile[kStep][kPadded], w_tile[kStep][kPadded];
  const int64_t first_row = int64_t{blockIdx.y} * kTile, first_column = int64_t{blockIdx.x} * kTile;
  const int thread_row = threadIdx.x / kGrid, thread_column = threadIdx.x % kGrid;
  float sums[kSide][kSide] = {};
  for (int64_t begin = 0; begin < depth; begin += kStep) {
    const int k = threadIdx.x % kStep;
    for (int line = threadIdx.x / kStep; line < kTile; line += kGemmThreads / kStep) {
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
    const int64_t row = first_row + thread_row * kSide + i;
#pragma unroll
    for (int j = 0; j < kSide; ++j) {
      const int64_t column = first_column + thread_column * kSide + j;
      if (row < rows && column < out) store(row, column, sums[i][j]);
    }
  }
}

// ---- bf16: a block computes kRows x kColumns sums, a warp 32 or 64 x 32 of them, from a ring of shared
// memory that copies fill while the tensor cores work on what came before

constexpr int kStages = 3;
constexpr int kChunk = 8;                                       // values of 16 bytes
constexpr int kChunks = static_cast<int>(kDepthStep) / kChunk;  // of a row of a stage

// Where chunk `chunk` of row `row` lies, so that eight rows of one chunk lie in different banks.
__device__ inline int swizzled(int row, int chunk) {
  return row * static_cast<int>(kDepthStep) + (chunk ^ (row / 2 % kChunks)) * kChunk;
}

// Starts copying rows [first, first + kLines) x [begin, begin + kDepthStep) of a matrix.
template <int kLines, int kBlockThreads>
__device__ void copy_tile(uint16_t* tile, const uint16_t* matrix, int64_t first, int64_t lines, int64_t depth,
                          int64_t begin) {
  for (int i = static_cast<int>(threadIdx.x); i < kLines * kChunks; i += kBlockThreads) {
    const int line = i / kChunks, chunk = i % kChunks;
    const bool valid = first + line < lines;
    const int64_t at = (valid ? first + line : 0) * depth + begin + chunk * kChunk;
    copy_async_16(tile + swizzled(line, chunk), matrix + at, valid);
  }
}

template <int kRows, int kColumns>
struct Bf16Tile {
  static constexpr int kWarpRows = kRows == 128 ? 64 : 32, kWarpColumns = 32;
  static constexpr int kThreads = kRows / kWarpRows * (kColumns / kWarpColumns) * kWarp;
  static constexpr int kStageValues = (kRows + kColumns) * static_cast<int>(kDepthStep);
  static constexpr size_t kSharedBytes = kStages * kStageValues * sizeof(uint16_t);
};

template <int kRows, int kColumns, typename Store>
__global__ void __launch_bounds__(Bf16Tile<kRows, kColumns>::kThreads)
    multiply_bf16_kernel(const uint16_t* x, const uint16_t* weights, int64_t depth, int64_t rows, int64_t out,
                         Store store) {
  using Tile = Bf16Tile<kRows, kColumns>;
  constexpr int kRowTiles = Tile::kWarpRows / 16, kColumnTiles = Tile::kWarpColumns / 8;
  uint16_t* const stages = dynamic_shared<uint16_t>();
  const int64_t first_row = int64_t{blockIdx.y} * kRows, first_column = int64_t{blockIdx.x} * kColumns;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warp_row = warp / (kColumns / Tile::kWarpColumns) * Tile::kWarpRows;
  const int warp_column = warp % (kColumns / Tile::kWarpColumns) * Tile::kWarpColumns;
  const int steps = static_cast<int>(depth / kDepthStep);

  const auto copy_stage = [&](int step) {
    if (step < steps) {
      uint16_t* const stage = stages + step % kStages * Tile::kStageValues;
      const int64_t begin = step * kDepthStep;
      copy_tile<kRows, Tile::kThreads>(stage, x, first_row, rows, depth, begin);
      copy_tile<kColumns, Tile::kThreads>(stage + kRows * kDepthStep, weights, first_column, out, depth,
                                          begin);
    }
    commit_copies();
  };
  for (int step = 0; step < kStages - 1; ++step) copy_stage(step);

  float sums[kRowTiles][kColumnTiles][4] = {};
  for (int step = 0; step < steps; ++step) {
    wait_for_copies<kStages - 2>();
    __syncthreads();  // the stage is complete, and everybody has left the one that is copied next
    copy_stage(step + kStages - 1);
    const uint16_t* const x_tile = stages + step % kStages * Tile::kStageValues;
    const uint16_t* const w_tile = x_tile + kRows * kDepthStep;
#pragma unroll
    for (int half = 0; half < static_cast<int>(kDepthStep) / 16; ++half) {
      uint32_t a[kRowTiles][4], b[kColumnTiles / 2][4];
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i)
        load_matrices(a[i], x_tile + swizzled(warp_row + i * 16 + lane % 16, half * 2 + lane / 16));
#pragma unroll
      for (int j = 0; j < kColumnTiles / 2; ++j)
        load_matrices(b[j], w_tile + swizzled(warp_column + j * 16 + lane / 16 * 8 + lane % 8,
                                              half * 2 + lane / 8 % 2));
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i)
#pragma unroll
        for (int j = 0; j < kColumnTiles; ++j)
          multiply_add(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
    }
  }
#pragma unroll
  for (int i = 0; i < kRowTiles; ++i)
#pragma unroll
    for (int j = 0; j < kColumnTiles; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int64_t row = first_row + warp_row + i * 16 + lane / 4 + e / 2 * 8;
        const int64_t column = first_column + warp_column + j * 8 + lane % 4 * 2 + e % 2;
        if (row < rows && column < out) store(row, column, sums[i][j][e]);
      }
}

// x [rows, x_stride] and weights [out, depth] of fp32, on a chain of fused multiply-adds in the order of the
// depth.
template <typename Store>
void multiply(const float* x, int64_t x_stride, const float* weights, int64_t depth, int64_t rows,
              int64_t out, const Store& store, cudaStream_t stream) {
  const auto grid = [&](int64_t tile) {
    return dim3(static_cast<unsigned>(divide_up(out, tile)), static_cast<unsigned>(divide_up(rows, tile)));
  };
  // Small products get small tiles, so that more blocks share them; the chain of a sum is the same.
  if (rows >= 512)
    launch(multiply_fp32_kernel<8, Store>, grid(128), kGemmThreads, 0, stream, x, x_stride, weights, depth,
           rows, out, store);
  else
    launch(multiply_fp32_kernel<4, Store>, grid(64), kGemmThreads, 0, stream, x, x_stride, weights, depth,
           rows, out, store);
}

// x [rows, depth] and weights [out, depth] of bf16, depth a multiple of kDepthStep; sums in fp32.
template <typename Store>
void multiply(const uint16_t* x, const uint16_t* weights, int64_t depth, int64_t rows, int64_t out,
              const Store& store, cudaStream_t stream) {
  const auto start = [&](auto kernel, int64_t tile, int threads, size_t shared_bytes) {
    const dim3 grid(static_cast<unsigned>(divide_up(out, tile)),
                    static_cast<unsigned>(divide_up(rows, tile)));
    launch(kernel, grid, threads, shared_bytes, stream, x, weights, depth, rows, out, store);
  };
  using Large = Bf16Tile<128, 128>;
  using Small = Bf16Tile<64, 64>;
  if (rows >= 1024)
    start(multiply_bf16_kernel<128, 128, Store>, 128, Large::kThreads, Large::kSharedBytes);
  else
    start(multiply_bf16_kernel<64, 64, Store>, 64, Small::kThreads, Small::kSharedBytes);
}

}  // namespace albert::cuda
