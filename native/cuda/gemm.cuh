// Products y = x W^T with both factors row-major along the depth: which kernel computes one.
#pragma once

#include <algorithm>
#include <iterator>
#include <type_traits>

#include "cuda/backend.h"
#include "cuda/gemm_fp32.cuh"
#include "cuda/gemm_hopper.cuh"
#include "cuda/gemm_mma.cuh"

namespace albert::cuda {

// A product of fp32: x [rows, x_stride] times the transposed weights [out, depth]. `splits` parts of the
// depth are added up apart, and their results lie below one another: [splits * rows, out].
struct RowProduct {
  const float* x;
  int64_t x_stride;
  int64_t rows;
  const float* weights;
  int64_t out;
  int64_t depth;
  int splits = 1;

  // Of the tile: small products get a small one, so that more blocks share them; the chain of a sum is the
  // same.
  int64_t side() const { return rows >= 512 ? 128 : 64; }
  int64_t tiles() const { return divide_up(rows, side()) * divide_up(out, side()); }
};

template <typename Store>
void multiply(const RowProduct& product, const Store& store, cudaStream_t stream) {
  const auto start = [&](auto kernel) {
    const int64_t side = product.side();
    const dim3 grid(static_cast<unsigned>(divide_up(product.out, side)),
                    static_cast<unsigned>(divide_up(product.rows, side)),
                    static_cast<unsigned>(product.splits));
    // Four values at a time, which lie on 16 bytes.
    const int64_t part_depth = round_up<int64_t>(divide_up<int64_t>(product.depth, product.splits), 4);
    launch(kernel, grid, kFp32Threads, 0, stream, product.x, product.x_stride, product.weights, product.depth,
           part_depth, product.rows, product.out, store);
  };
  product.side() == 128 ? start(multiply_fp32_kernel<8, Store>) : start(multiply_fp32_kernel<4, Store>);
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

// Blocks of pairs share the weights of the largest tile, which 33 bytes of factors a cycle would not feed.
using LargestTile = HopperTile<2, 256, 2>;

// Cycles until the last block of a product ends, by a model of one multiprocessor of an H100: 33 bytes of
// factors a cycle from L2, 2048 multiplications a cycle, the time to fill the ring, and to store, which a
// block that stores apart does only in the end.
template <typename Shape, bool kStoresApart = false>
int64_t estimate_cycles(const TileProduct& product, int multiprocessors) {
  constexpr int64_t kFactors = (Shape::kRows + Shape::kColumns / Shape::kBlocks) * kTile * sizeof(uint16_t);
  constexpr int64_t kSums = Shape::kRows * Shape::kColumns;
  constexpr int64_t kStep = std::max(kFactors / 33, kSums * kTile / 2048);
  constexpr int64_t kEnd = 2000 + kSums / 16, kHold = kSums / 24;
  const int64_t items = product.work(Shape::kBlocks * Shape::kRows, Shape::kColumns).count();
  const int64_t waves = divide_up<int64_t>(items, multiprocessors / Shape::kBlocks);
  const int64_t products = product.depth / product.splits * kStep;
  return kStoresApart ? waves * (products + kHold) + kEnd : waves * (products + kEnd);
}

template <typename Shape, bool kByColumns, typename Store>
void launch_hopper(const TileProduct& product, const Gpu& gpu, const Store& store, cudaStream_t stream) {
  const ProductWork work = product.work(Shape::kBlocks * Shape::kRows, Shape::kColumns);
  const int clusters = std::min(work.count(), gpu.multiprocessors / Shape::kBlocks);
  launch_clusters_early(Shape::kBlocks, multiply_hopper_kernel<Shape, kByColumns, Store>,
                        dim3(static_cast<unsigned>(clusters * Shape::kBlocks)),
                        HopperBlock<Shape, Store>::kThreads, HopperBlock<Shape, Store>::kSharedBytes, stream,
                        product.x, product.weights, work, store);
}

// By the shape of tile that ends first.
template <bool kByColumns, typename Store, typename... Shapes>
void launch_best(const TileProduct& product, const Gpu& gpu, const Store& store, cudaStream_t stream) {
  using Launch = void (*)(const TileProduct&, const Gpu&, const Store&, cudaStream_t);
  constexpr Launch kLaunches[] = {launch_hopper<Shapes, kByColumns, Store>...};
  const int64_t cycles[] = {estimate_cycles<Shapes, !kHoldsRows<Store>>(product, gpu.multiprocessors)...};
  kLaunches[std::min_element(std::begin(cycles), std::end(cycles)) - std::begin(cycles)](product, gpu, store,
                                                                                         stream);
}

template <bool kByColumns, typename Store>
void multiply_by_warpgroups(const TileProduct& product, const Gpu& gpu, const Store& store,
                            cudaStream_t stream) {
  if constexpr (kByColumns)  // a block takes whole tiles
    launch_best<kByColumns, Store, LargestTile, HopperTile<2, 128, 1>, HopperTile<1, 128, 1>,
                HopperTile<1, 64, 1>>(product, gpu, store, stream);
  else
    launch_best<kByColumns, Store, LargestTile, HopperTile<2, 128, 1>, HopperTile<1, 128, 1>,
                HopperTile<1, 64, 1>, HopperTile<1, 32, 1>>(product, gpu, store, stream);
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

// ---- for the operations that multiply

// Turns a value of Activation into a constant.
template <typename Body>
void with_activation(Activation activation, const Body& body) {
  switch (activation) {
    case Activation::kIdentity:
      return body(std::integral_constant<Activation, Activation::kIdentity>{});
    case Activation::kGelu:
      return body(std::integral_constant<Activation, Activation::kGelu>{});
    case Activation::kGeluNew:
      return body(std::integral_constant<Activation, Activation::kGeluNew>{});
    case Activation::kRelu:
      return body(std::integral_constant<Activation, Activation::kRelu>{});
    case Activation::kSilu:
      return body(std::integral_constant<Activation, Activation::kSilu>{});
    case Activation::kTanh:
      return body(std::integral_constant<Activation, Activation::kTanh>{});
  }
}

inline const CudaPackedLinear& packed(const PackedLinear& weights) {
  return static_cast<const CudaPackedLinear&>(weights);
}

template <typename Store>
void CudaBackend::multiply_by(const PackedLinear& weights, const float* x, int64_t x_stride, int64_t rows,
                              const Store& store, Operation& operation) {
  const CudaPackedLinear& linear = packed(weights);
  if (linear.tiles.values)
    multiply(TileProduct{rounded(x, x_stride, linear.in, rows, operation), rows, linear.tiles, linear.out,
                         linear.tiles.across},
             gpu_, store, operation.stream());
  else if constexpr (kHoldsRows<Store>)
    multiply(RowProduct{x, x_stride, rows, linear.rows, linear.out, linear.in}, store, operation.stream());
}

}  // namespace albert::cuda
