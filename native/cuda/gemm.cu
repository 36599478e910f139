// Packed weights and the forward operations that multiply by them.
#include "cuda/gemm.cuh"

#include <utility>

#include "cuda/tiles.h"

namespace albert::cuda {
namespace {

// y[c][r] = x[r][c], by squares of 32 in shared memory.
constexpr int kTransposeThreads = 256;
__global__ void __launch_bounds__(kTransposeThreads)
    transpose_kernel(float* y, int64_t y_stride, const float* x, int64_t x_stride, int64_t columns,
                     int64_t rows, int64_t y_columns) {
  __shared__ float square[kWarp][kWarp + 1];
  const int64_t first_column = int64_t{blockIdx.x} * kWarp, first_row = int64_t{blockIdx.y} * kWarp;
  const int across = static_cast<int>(threadIdx.x) % kWarp, down = static_cast<int>(threadIdx.x) / kWarp;
  for (int i = down; i < kWarp; i += kTransposeThreads / kWarp) {
    const bool inside = first_row + i < rows && first_column + across < columns;
    square[i][across] = inside ? x[(first_row + i) * x_stride + first_column + across] : 0;
  }
  __syncthreads();
  for (int i = down; i < kWarp; i += kTransposeThreads / kWarp)
    if (first_column + i < columns && first_row + across < y_columns)
      y[(first_column + i) * y_stride + first_row + across] = square[across][i];
}

}  // namespace

void transpose(float* y, int64_t y_stride, const float* x, int64_t x_stride, int64_t columns, int64_t rows,
               int64_t y_columns, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(divide_up<int64_t>(columns, kWarp)),
                  static_cast<unsigned>(divide_up<int64_t>(y_columns, kWarp)));
  launch(transpose_kernel, grid, kTransposeThreads, 0, stream, y, y_stride, x, x_stride, columns, rows,
         y_columns);
}

// ---- packed layers

CudaPackedLinear::CudaPackedLinear(const std::vector<LinearSource>& sources, int64_t width,
                                   Precision of_products, bool is_transposed, DeviceMemory& memory)
    : CudaPackedLinear(memory) {
  transposed = is_transposed;
  in = width;
  precision = of_products;
  for (const LinearSource& source : sources) out += source.out;
  if (transposed) std::swap(in, out);
  const bool tiled = precision == Precision::kBf16;
  const size_t weight_bytes = tiled ? static_cast<size_t>(Tiles::count(out, in)) * sizeof(uint16_t)
                                    : static_cast<size_t>(out * in) * sizeof(float);
  const size_t bias_bytes = static_cast<size_t>(tiles_of(out) * kTile) * sizeof(float);
  bytes = weight_bytes + bias_bytes;
  Operation operation(memory);
  const auto cleared = [&](size_t size) {
    void* const block = memory.allocate(size);
    check_cuda(cudaMemsetAsync(block, 0, size, operation.stream()), "packing");
    return block;
  };
  void* const weight = cleared(weight_bytes);
  if (tiled)
    tiles = {static_cast<uint16_t*>(weight), tiles_of(in)};
  else
    rows = static_cast<float*>(weight);
  bias = static_cast<float*>(cleared(bias_bytes));
}

CudaPackedLinear::~CudaPackedLinear() {
  memory_.release(tiles.values);
  memory_.release(rows);
  memory_.release(bias);
}

std::unique_ptr<PackedLinear> CudaBackend::pack(const std::vector<LinearSource>& sources, int64_t in,
                                                const LinearFormat& format) {
  check(format.precision != Precision::kInt8, ErrorCode::kInvalidArgument,
        "expected dtype 'fp32' or 'bf16' on a GPU but received 'int8'; use bf16, or device: 'cpu'");
  auto weights = std::make_unique<CudaPackedLinear>(sources, in, format.precision, false, memory_);
  repack(*weights, sources);
  return weights;
}

std::unique_ptr<PackedLinear> CudaBackend::pack_transposed(const std::vector<LinearSource>& sources,
                                                           int64_t in, Precision precision) {
  auto weights = std::make_unique<CudaPackedLinear>(sources, in, precision, true, memory_);
  repack(*weights, sources);
  return weights;
}

void CudaBackend::repack(PackedLinear& weights, const std::vector<LinearSource>& sources) {
  CudaPackedLinear& linear = static_cast<CudaPackedLinear&>(weights);
  Operation operation(memory_);
  const cudaStream_t stream = operation.stream();
  const int64_t width = linear.transposed ? linear.out : linear.in;
  const auto copy = [&](float* to, const float* from, int64_t count) {
    check_cuda(cudaMemcpyAsync(to, from, static_cast<size_t>(count) * sizeof(float), cudaMemcpyDeviceToDevice,
                               stream),
               "packing");
  };
  int64_t first = 0;  // row of the stacked sources
  for (const LinearSource& source : sources) {
    const float* const from = operation.in(source.weight, width, width, source.out);
    if (linear.transposed && linear.tiles.values)
      round_columns(linear.tiles, first, from, width, width, source.out, source.out, stream);
    else if (linear.transposed)
      transpose(linear.rows + first, linear.in, from, width, width, source.out, source.out, stream);
    else if (linear.tiles.values)
      round_rows(linear.tiles, first, from, width, width, source.out, stream);
    else
      copy(linear.rows + first * width, from, source.out * width);
    if (!linear.transposed && source.bias)
      copy(linear.bias + first, operation.in(source.bias, source.out), source.out);
    first += source.out;
  }
}

// ---- operations

const float* factor_of(const CudaPackedLinear& linear, const float* x, int64_t x_stride, int64_t rows,
                       Operation& operation) {
  return linear.tiles.values ? operation.factor(x, x_stride, linear.in, rows)
                             : operation.in(x, x_stride, linear.in, rows);
}

Tiles CudaBackend::rounded(const float* x, int64_t x_stride, int64_t width, int64_t rows,
                           Operation& operation) {
  if (const Tiles* const kept = memory_.kept_rounded(x, width, rows)) return *kept;
  const Tiles tiles = memory_.keep_rounded(x, width, rows);
  round_rows(tiles, 0, x, x_stride, width, rows, operation.stream());
  return tiles;
}

Tiles CudaBackend::factor_tiles(const float* x, int64_t width, int64_t rows, Operation& operation) {
  const int64_t stride = row_stride(width);
  return rounded(operation.factor(x, stride, width, rows), stride, width, rows, operation);
}

// Activations after bf16 products of their own are rare, and have a launch of their own: the kernels of
// products are many.
void CudaBackend::linear_forward(float* y, int64_t y_stride, const float* x, int64_t x_stride,
                                 const PackedLinear& weights, Activation activation, int64_t rows) {
  Operation operation(memory_);
  const CudaPackedLinear& linear = packed(weights);
  const float* const from = factor_of(linear, x, x_stride, rows, operation);
  float* const to = operation.out(y, y_stride, linear.out, rows);
  if (linear.tiles.values) {
    multiply_by(weights, from, x_stride, rows,
                StoreRows<Activation::kIdentity, false>(to, y_stride, linear.bias, linear.out), operation);
    if (activation != Activation::kIdentity) activate(to, y_stride, activation, linear.out, rows, operation);
  } else {
    with_activation(activation, [&](auto constant) {
      multiply(RowProduct{from, x_stride, rows, linear.rows, linear.out, linear.in},
               StoreRows<constant(), false>(to, y_stride, linear.bias, linear.out), operation.stream());
    });
  }
  operation.finish();
}

void CudaBackend::qkv_forward(const Heads& heads, const float* x, const PackedLinear& weights, int64_t rows) {
  Operation operation(memory_);
  const CudaPackedLinear& linear = packed(weights);
  const int64_t x_stride = row_stride(linear.in);
  const float* const from = factor_of(linear, x, x_stride, rows, operation);
  const bool narrow = heads.precision == Precision::kBf16;
  // As floats, of which a 16-bit value takes half.
  const int64_t matrix = heads.heads * rows * heads.stride,
                floats = narrow ? divide_up<int64_t>(matrix, 2) : matrix;
  void* parts[3] = {heads.query, heads.key, heads.value};
  for (void*& part : parts) part = operation.out(static_cast<float*>(part), floats, floats, 1);
  const auto store_to = [&](auto value) {
    using T = decltype(value);
    multiply_by(weights, from, x_stride, rows,
                StoreHeads<T>{static_cast<T*>(parts[0]), static_cast<T*>(parts[1]), static_cast<T*>(parts[2]),
                              linear.bias, rows, heads.stride, static_cast<int>(heads.size),
                              static_cast<int>(heads.heads), 1 / static_cast<float>(heads.size)},
                operation);
  };
  narrow ? store_to(uint16_t{}) : store_to(float{});
  operation.finish();
}

// ---- with what follows them

void CudaBackend::linear_residual_layernorm_forward(float* x, const float* input, const PackedLinear& weights,
                                                    const LayerNormWeights& norm, int64_t rows) {
  Operation operation(memory_);
  const CudaPackedLinear& linear = packed(weights);
  const int64_t input_stride = row_stride(linear.in);
  const float* const from = factor_of(linear, input, input_stride, rows, operation);
  float* const to = operation.in_out(x, row_stride(linear.out), linear.out, rows);
  if (linear.tiles.values)
    add_and_normalise(to, rounded(from, input_stride, linear.in, rows, operation), linear, norm, rows,
                      operation);
  else
    add_and_normalise(to, from, input_stride, linear, norm, rows, operation);
  operation.finish();
}

void CudaBackend::feed_forward_forward(float* x, const PackedLinear& up, Activation activation,
                                       const PackedLinear& down, const LayerNormWeights& norm, int64_t rows) {
  Operation operation(memory_);
  const CudaPackedLinear &widen = packed(up), &narrow = packed(down);
  const int64_t stride = row_stride(widen.in);
  const float* const from = factor_of(widen, x, stride, rows, operation);
  if (widen.tiles.values) {
    const Tiles factor = rounded(from, stride, widen.in, rows, operation);
    const Tiles inner{operation.scratch<uint16_t>(Tiles::count(rows, widen.out)), tiles_of(widen.out)};
    with_activation(activation, [&](auto constant) {
      multiply(TileProduct{factor, rows, widen.tiles, inner.across * kTile, widen.tiles.across}, gpu_,
               StoreActivated<constant()>{inner, widen.bias}, operation.stream());
    });
    add_and_normalise(operation.in_out(x, stride, widen.in, rows), inner, narrow, norm, rows, operation);
  } else {
    float* const inner = operation.scratch<float>(rows * widen.out);
    with_activation(activation, [&](auto constant) {
      multiply(RowProduct{from, stride, rows, widen.rows, widen.out, widen.in},
               StoreRows<constant(), false>(inner, widen.out, widen.bias, widen.out), operation.stream());
    });
    add_and_normalise(operation.in_out(x, stride, widen.in, rows), inner, widen.out, narrow, norm, rows,
                      operation);
  }
  operation.finish();
}

// x = LayerNorm(x + factor W^T + b). The sum before the residual is rounded to bf16, as its factors were.
void CudaBackend::add_and_normalise(float* x, const Tiles& factor, const CudaPackedLinear& linear,
                                    const LayerNormWeights& norm, int64_t rows, Operation& operation) {
  const int64_t stride = row_stride(linear.out);
  const Tiles sums{operation.scratch<uint16_t>(Tiles::count(rows, linear.out)), tiles_of(linear.out)};
  multiply(TileProduct{factor, rows, linear.tiles, sums.across * kTile, linear.tiles.across}, gpu_,
           StoreTiles{sums, linear.bias}, operation.stream());
  normalise({x, stride, memory_.keep_rounded(x, linear.out, rows)}, {x, stride, sums}, norm, linear.out, rows,
            operation);
}

void CudaBackend::add_and_normalise(float* x, const float* factor, int64_t factor_stride,
                                    const CudaPackedLinear& linear, const LayerNormWeights& norm,
                                    int64_t rows, Operation& operation) {
  const int64_t stride = row_stride(linear.out);
  multiply(RowProduct{factor, factor_stride, rows, linear.rows, linear.out, linear.in},
           StoreRows<Activation::kIdentity, true>(x, stride, linear.bias, linear.out), operation.stream());
  normalise({x, stride, {}}, {x, stride, {}}, norm, linear.out, rows, operation);
}

}  // namespace albert::cuda
