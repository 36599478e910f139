// Products y = x W^T with both factors row-major along the depth: which kernel computes one.
#pragma once

#include <algorithm>

#include "cuda/gemm_fp32.cuh"
#include "cuda/gemm_hopper.cuh"
#include "cuda/gemm_mma.cuh"
#include "cuda/memory.h"

namespace albert::cuda {

// x [rows, x_stride] and weights [out, depth] of fp32. Small products get small tiles, so that more blocks
// share them; the chain of a sum is the same.
template <typename Store>
void multiply(const float* x, int64_t x_stride, int64_t rows, const float* weights, int64_t depth,
              int64_t out, const Store& store, cudaStream_t stream) {
  const auto start = [&](auto kernel, int64_t side) {
    const dim3 grid(static_cast<unsigned>(divide_up(out, side)),
                    static_cast<unsigned>(divide_up(rows, side)));
    launch(kernel, grid, kFp32Threads, 0, stream, x, x_stride, weights, depth, rows, out, store);
  };
  rows >= 512 ? start(multiply_fp32_kernel<8, Store>, 128) : start(multiply_fp32_kernel<4, Store>, 64);
}

// A product of bf16 tiles with fp32 sums. `splits` parts of the depth are added up apart, and their results
// lie below one another: [splits * rows, out].
struct TileProduct {
  Tiles x;
  int64_t rows;
  Tiles weights;  // [out, depth], as deep as x
  int64_t out;
  int splits = 1;
};

template <typename Store>
void multiply_by_warps(const TileProduct& product, const Store& store, cudaStream_t stream) {
  const auto start = [&](auto kernel, int64_t side, int threads, size_t shared_bytes) {
    const dim3 grid(static_cast<unsigned>(divide_up(product.out, side)),
                    static_cast<unsigned>(divide_up(product.rows, side)),
                    static_cast<unsigned>(product.splits));
    launch(kernel, grid, threads, shared_bytes, stream, product.x, product.weights,
           static_cast<int>(product.rows), static_cast<int>(product.out), product.splits, store);
  };
  using Large = MmaTile<128>;
  using Small = MmaTile<64>;
  if (product.rows >= 1024)
    start(multiply_mma_kernel<128, Store>, 128, Large::kThreads, Large::kSharedBytes);
  else
    start(multiply_mma_kernel<64, Store>, 64, Small::kThreads, Small::kSharedBytes);
}

template <int kWarpgroups, int kColumns, typename Store>
void start_hopper(const TileProduct& product, const Gpu& gpu, const Store& store, cudaStream_t stream) {
  using Shape = HopperTile<kWarpgroups, kColumns>;
  const ProductWork work{static_cast<int>(product.rows), static_cast<int>(product.out),
                         static_cast<int>(divide_up<int64_t>(product.out, kColumns)),
                         static_cast<int>(divide_up<int64_t>(product.rows, Shape::kRows)), product.splits};
  launch(multiply_hopper_kernel<kWarpgroups, kColumns, Store>,
         dim3(static_cast<unsigned>(std::min(work.count(), gpu.multiprocessors))), Shape::kThreads,
         Shape::kSharedBytes, stream, product.x, product.weights, work, store);
}

// The tile of a block that ends first, by a model of one multiprocessor of an H100: 33 bytes of factors a
// cycle from L2, 2048 multiplications a cycle, and the time to fill the ring and to store.
template <typename Store>
void multiply_by_warpgroups(const TileProduct& product, const Gpu& gpu, const Store& store,
                            cudaStream_t stream) {
  constexpr int kShapes[][2] = {{128, 256}, {128, 128}, {64, 128}, {64, 64}, {64, 32}};
  const auto cycles = [&](int64_t rows, int64_t columns) {
    const int64_t blocks = divide_up(product.rows, rows) * divide_up(product.out, columns) * product.splits;
    const int64_t step = std::max((rows + columns) * kTile * 2 / 33, rows * columns * kTile / 2048);
    return divide_up<int64_t>(blocks, gpu.multiprocessors) *
           (product.x.across / product.splits * step + 2000 + rows * columns / 16);
  };
  size_t best = 0;
  for (size_t i = 1; i < std::size(kShapes); ++i)
    if (cycles(kShapes[i][0], kShapes[i][1]) < cycles(kShapes[best][0], kShapes[best][1])) best = i;
  switch (best) {
    case 0:
      return start_hopper<2, 256>(product, gpu, store, stream);
    case 1:
      return start_hopper<2, 128>(product, gpu, store, stream);
    case 2:
      return start_hopper<1, 128>(product, gpu, store, stream);
    case 3:
      return start_hopper<1, 64>(product, gpu, store, stream);
    default:
      return start_hopper<1, 32>(product, gpu, store, stream);
  }
}

template <typename Store>
void multiply(const TileProduct& product, const Gpu& gpu, const Store& store, cudaStream_t stream) {
  if (product.rows == 0) return;
  gpu.has_warpgroups ? multiply_by_warpgroups(product, gpu, store, stream)
                     : multiply_by_warps(product, store, stream);
}

}  // namespace albert::cuda
