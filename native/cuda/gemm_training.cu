// Products of training: gradients, and the feed-forward's first product with its activation.
#include "cuda/gemm.cuh"
#include "cuda/tiles.h"

namespace albert::cuda {
namespace {

// Until the last block of a product ends.
int64_t cycles_of(const TileProduct& product, const Gpu& gpu) {
  return estimate_cycles<LargestTile>(product, gpu.multiprocessors);
}
int64_t cycles_of(const RowProduct& product, const Gpu& gpu) {
  constexpr int64_t kBlocks = 2, kMultiplications = 128;  // at once, and a cycle, of a multiprocessor
  const int64_t waves = divide_up(product.splits * product.tiles(), kBlocks * gpu.multiprocessors);
  const int64_t sums = product.side() * product.side();
  return waves * divide_up<int64_t>(product.depth, product.splits) * sums * kBlocks / kMultiplications;
}

// In how many parts the depth of a weight gradient is added up: more keep every multiprocessor busy, and
// have to be written, read again and added.
template <typename Product>
int splits_of(Product product, const Gpu& gpu) {
  constexpr int64_t kMost = 8, kPartBytes = 1400;  // a cycle
  const auto cycles = [&](int64_t splits) {
    product.splits = static_cast<int>(splits);
    const int64_t bytes = splits > 1 ? 2 * splits * product.rows * product.out * int64_t{sizeof(float)} : 0;
    return cycles_of(product, gpu) + bytes / kPartBytes;
  };
  int64_t best = 1;
  for (int64_t splits = 2; splits <= std::min(kMost, product.depth); ++splits)
    if (cycles(splits) < cycles(best)) best = splits;
  return static_cast<int>(best);
}

// Columns of x from `first` on, which a product along the rows takes by whole tiles.
Tiles columns_of(const Tiles& x, int64_t first, int64_t width, int64_t rows, Operation& operation) {
  if (first % kTile == 0) return {x.tile(0, first / kTile), x.across};
  const Tiles own{operation.scratch<uint16_t>(Tiles::count(rows, width)), tiles_of(width)};
  copy_columns(own, x, first, width, rows, operation.stream());
  return own;
}

// dW += dy^T x for one layer, `multiply` computing the product into a store.
template <typename Product, typename Multiply>
void add_weight_gradient(float* gradient, const Product& product, const Multiply& multiply,
                         Operation& operation) {
  const int64_t in = product.out, out = product.rows;
  if (product.splits == 1) return multiply(StoreRows<Activation::kIdentity, true>(gradient, in, nullptr, in));
  float* const parts = operation.scratch<float>(product.splits * out * in);
  multiply(StoreRows<Activation::kIdentity, false>(parts, in, nullptr, in));
  add_parts(gradient, parts, out * in, out * in, product.splits, operation);
}

}  // namespace

// ---- with the activation between two layers

void CudaBackend::linear_activation_forward(float* y, float* sum, const float* x, const PackedLinear& weights,
                                            Activation activation, int64_t rows) {
  const CudaPackedLinear& linear = packed(weights);
  if (!linear.tiles.values || !memory_.is_device(sum)) {
    Backend::linear_activation_forward(y, sum, x, weights, activation, rows);
    return;
  }
  Operation operation(memory_);
  const Tiles factor = factor_tiles(x, linear.in, rows, operation);
  const int64_t stride = row_stride(linear.out);
  const HalfRows of_sum{operation.out(sum, stride, linear.out, rows), stride};
  const Tiles of_y = memory_.keep_rounded(y, linear.out, rows, true);
  with_activation(activation, [&](auto constant) {
    multiply(TileProduct{factor, rows, linear.tiles, of_y.across * kTile, linear.tiles.across}, gpu_,
             StoreActivation<constant()>{of_sum, of_y, linear.bias}, operation.stream());
  });
}

void CudaBackend::linear_activation_backward(float* dx, float* y, const float* dy,
                                             const PackedLinear& transposed, const float* x,
                                             Activation activation, int64_t rows) {
  const CudaPackedLinear& linear = packed(transposed);
  if (!linear.tiles.values || !memory_.is_device(x)) {
    Backend::linear_activation_backward(dx, y, dy, transposed, x, activation, rows);
    return;
  }
  Operation operation(memory_);
  const Tiles factor = factor_tiles(dy, linear.in, rows, operation);
  const HalfRows of_x{const_cast<float*>(x), row_stride(linear.out)};
  const Tiles of_dx = memory_.keep_rounded(dx, linear.out, rows, true);
  const Tiles of_y = memory_.keep_rounded(y, linear.out, rows, true);
  with_activation(activation, [&](auto constant) {
    multiply(TileProduct{factor, rows, linear.tiles, of_dx.across * kTile, linear.tiles.across}, gpu_,
             StoreActivationGradient<constant()>{of_dx, of_y, of_x}, operation.stream());
  });
}

// ---- gradients

void CudaBackend::linear_backward_input(float* dx, int64_t dx_stride, const float* dy, int64_t dy_stride,
                                        const PackedLinear& transposed, bool accumulate, int64_t rows) {
  Operation operation(memory_);
  const CudaPackedLinear& linear = packed(transposed);
  const float* const from = factor_of(linear, dy, dy_stride, rows, operation);
  float* const to = accumulate ? operation.in_out(dx, dx_stride, linear.out, rows)
                               : operation.out(dx, dx_stride, linear.out, rows);
  const auto run = [&](auto accumulates) {
    multiply_by(transposed, from, dy_stride, rows,
                StoreRows<Activation::kIdentity, accumulates()>(to, dx_stride, nullptr, linear.out),
                operation);
  };
  accumulate ? run(std::true_type{}) : run(std::false_type{});
  operation.finish();
}

void CudaBackend::linear_backward_weights(const std::vector<LinearGradient>& gradients, const float* dy,
                                          int64_t dy_stride, const float* x, int64_t x_stride, int64_t in,
                                          Precision precision, int64_t rows) {
  int64_t out = 0;
  for (const LinearGradient& gradient : gradients) out += gradient.out;
  Operation operation(memory_);
  std::vector<LinearGradient> to = gradients;
  for (LinearGradient& gradient : to) {
    gradient.weight = operation.in_out(gradient.weight, in, in, gradient.out);
    gradient.bias = operation.in_out(gradient.bias, gradient.out);
  }
  if (precision == Precision::kBf16) {
    const Tiles x_tiles = rounded(operation.factor(x, x_stride, in, rows), x_stride, in, rows, operation);
    const bool only_tiles = memory_.has_only_rounded(dy);
    const float* const dy_rows = only_tiles ? dy : operation.in(dy, dy_stride, out, rows);
    const Tiles dy_tiles = rounded(dy_rows, dy_stride, out, rows, operation);
    int64_t first = 0;
    for (const LinearGradient& gradient : to) {
      const Tiles own = columns_of(dy_tiles, first, gradient.out, rows, operation);
      TileProduct product{own, gradient.out, x_tiles, in, tiles_of(rows)};
      product.splits = splits_of(product, gpu_);
      add_weight_gradient(
          gradient.weight, product,
          [&](const auto& store) { multiply_columns(product, gpu_, store, operation.stream()); }, operation);
      if (gradient.bias && only_tiles)
        add_column_sums(gradient.bias, own, gradient.out, rows, operation);
      else if (gradient.bias)
        add_column_sums(gradient.bias, dy_rows + first, dy_stride, gradient.out, rows, operation);
      first += gradient.out;
    }
  } else {
    const float* const x_rows = operation.in(x, x_stride, in, rows);
    const float* dy_rows = operation.in(dy, dy_stride, out, rows);
    // Whole vectors of the depth, with zeros behind the last row.
    const int64_t depth = (rows + 3) / 4 * 4;
    float* const x_columns = operation.scratch<float>(in * depth);
    float* const dy_columns = operation.scratch<float>(out * depth);
    transpose(x_columns, depth, x_rows, x_stride, in, rows, depth, operation.stream());
    transpose(dy_columns, depth, dy_rows, dy_stride, out, rows, depth, operation.stream());
    const float* own = dy_columns;
    for (const LinearGradient& gradient : to) {
      RowProduct product{own, depth, gradient.out, x_columns, in, depth};
      product.splits = splits_of(product, gpu_);
      add_weight_gradient(
          gradient.weight, product, [&](const auto& store) { multiply(product, store, operation.stream()); },
          operation);
      if (gradient.bias) add_column_sums(gradient.bias, dy_rows, dy_stride, gradient.out, rows, operation);
      own += gradient.out * depth;
      dy_rows += gradient.out;
    }
  }
  operation.finish();
}

}  // namespace albert::cuda
