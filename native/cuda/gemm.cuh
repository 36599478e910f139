// Products y = x W^T with both factors row-major along the depth: which kernel computes one.
#pragma once

#include <algorithm>
#include <iterator>
#include <type_traits>

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

// A product of bf16 tiles with fp32 sums: x [rows, depth] times the transposed weights [out, depth]; or, for
// multiply_columns(), the transposed x [depth, rows] times weights [depth, out]. `splits` parts of the depth
// are added up apart, and their results lie below one another: [splits * rows, out].
struct TileProduct {
  Tiles x;
  int64_t rows;
  Tiles weights;
  int64_t out;
  int64_t depth;  // in tiles
  int splits = 1;

  ProductWork work(int64_t tile_rows, int64_t tile_columns) const {
    return {static_cast<int>(rows),
            static_cast<int>(out),
            static_cast<int>(depth),
            static_cast<int>(divide_up(out, tile_columns)),
            static_cast<int>(divide_up(rows, tile_rows)),
            splits};
  }
};

template <bool kByColumns, typename Store>
void multiply_by_warps(const TileProduct& product, const Store& store, cudaStream_t stream) {
  const auto start = [&](auto kernel, int64_t side, int threads, size_t shared_bytes) {
    const ProductWork work = product.work(side, side);
    const dim3 grid(static_cast<unsigned>(work.across), static_cast<unsigned>(work.down),
                    static_cast<unsigned>(work.splits));
    launch(kernel, grid, threads, shared_bytes, stream, product.x, product.weights, work, store);
  };
  using Large = MmaTile<128>;
  using Small = MmaTile<64>;
  if (product.rows >= 1024)
    start(multiply_mma_kernel<128, kByColumns, Store>, 128, Large::kThreads, Large::kSharedBytes);
  else
    start(multiply_mma_kernel<64, kByColumns, Store>, 64, Small::kThreads, Small::kSharedBytes);
}

// The tile of a block that ends first, by a model of one multiprocessor of an H100: 33 bytes of factors a
// cycle from L2, 2048 multiplications a cycle, and the time to fill the ring and to store.
template <bool kByColumns, typename Store>
void multiply_by_warpgroups(const TileProduct& product, const Gpu& gpu, const Store& store,
                            cudaStream_t stream) {
  const auto cycles = [&](int64_t rows, int64_t columns) {
    const int64_t blocks = product.work(rows, columns).count();
    const int64_t step = std::max((rows + columns) * kTile * 2 / 33, rows * columns * kTile / 2048);
    return divide_up<int64_t>(blocks, gpu.multiprocessors) *
           (product.depth / product.splits * step + 2000 + rows * columns / 16);
  };
  constexpr int kShapes[][2] = {{128, 256}, {128, 128}, {64, 128}, {64, 64}, {64, 32}};
  constexpr size_t kCount =
      std::size(kShapes) - (kByColumns ? 1 : 0);  // by columns a block takes whole tiles
  size_t best = 0;
  for (size_t i = 1; i < kCount; ++i)
    if (cycles(kShapes[i][0], kShapes[i][1]) < cycles(kShapes[best][0], kShapes[best][1])) best = i;
  const auto start = [&](auto warpgroups, auto columns) {
    constexpr int kWarpgroups = decltype(warpgroups)::value, kColumns = decltype(columns)::value;
    using Shape = HopperTile<kWarpgroups, kColumns>;
    const ProductWork work = product.work(Shape::kRows, kColumns);
    launch_early(multiply_hopper_kernel<kWarpgroups, kColumns, kByColumns, Store>,
                 dim3(static_cast<unsigned>(std::min(work.count(), gpu.multiprocessors))), Shape::kThreads,
                 Shape::kSharedBytes, stream, product.x, product.weights, work, store);
  };
  constexpr std::integral_constant<int, 1> kOne{};
  constexpr std::integral_constant<int, 2> kTwo{};
  switch (best) {
    case 0:
      return start(kTwo, std::integral_constant<int, 256>{});
    case 1:
      return start(kTwo, std::integral_constant<int, 128>{});
    case 2:
      return start(kOne, std::integral_constant<int, 128>{});
    case 3:
      return start(kOne, std::integral_constant<int, 64>{});
    default:
      if constexpr (!kByColumns) start(kOne, std::integral_constant<int, 32>{});
  }
}

template <typename Store>
void multiply(const TileProduct& product, const Gpu& gpu, const Store& store, cudaStream_t stream) {
  if (product.rows == 0) return;
  gpu.has_warpgroups ? multiply_by_warpgroups<false>(product, gpu, store, stream)
                     : multiply_by_warps<false>(product, store, stream);
}

template <typename Store>
void multiply_columns(const TileProduct& product, const Gpu& gpu, const Store& store, cudaStream_t stream) {
  if (product.depth == 0) return;
  gpu.has_warpgroups ? multiply_by_warpgroups<true>(product, gpu, store, stream)
                     : multiply_by_warps<true>(product, store, stream);
}

}  // namespace albert::cuda
