// Matrix products: exact fp32 on the ordinary units, bf16 on the tensor cores, and the packing of their
// factors.
#include "cuda/gemm.cuh"

#include <utility>

#include "cuda/backend.h"

namespace albert::cuda {
namespace {

constexpr int kThreads = 256;

// ---- factors

// y[r][k] = x[r][k], zero from `width` on.
template <typename T>
__global__ void copy_rows_kernel(T* y, int64_t y_stride, const float* x, int64_t x_stride, int64_t width,
                                 int64_t rows) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x, row = i / y_stride, k = i % y_stride;
  if (row < rows) store_value(y + i, k < width ? x[row * x_stride + k] : 0);
}

// y[c][r] = x[r][c], zero for r from `rows` to `padded_rows`; squares of 32 in shared memory.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    transpose_kernel(T* y, int64_t y_stride, int64_t padded_rows, const float* x, int64_t x_stride,
                     int64_t columns, int64_t rows) {
  __shared__ float square[kWarp][kWarp + 1];
  const int64_t first_column = int64_t{blockIdx.x} * kWarp, first_row = int64_t{blockIdx.y} * kWarp;
  const int across = static_cast<int>(threadIdx.x) % kWarp, down = static_cast<int>(threadIdx.x) / kWarp;
  for (int i = down; i < kWarp; i += kThreads / kWarp) {
    const bool inside = first_row + i < rows && first_column + across < columns;
    square[i][across] = inside ? x[(first_row + i) * x_stride + first_column + across] : 0;
  }
  __syncthreads();
  for (int i = down; i < kWarp; i += kThreads / kWarp)
    if (first_column + i < columns && first_row + across < padded_rows)
      store_value(y + (first_column + i) * y_stride + first_row + across, square[across][i]);
}

template <typename T>
void transpose(T* y, int64_t y_stride, int64_t padded_rows, const float* x, int64_t x_stride, int64_t columns,
               int64_t rows, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(divide_up<int64_t>(columns, kWarp)),
                  static_cast<unsigned>(divide_up<int64_t>(padded_rows, kWarp)));
  launch(transpose_kernel<T>, grid, kThreads, 0, stream, y, y_stride, padded_rows, x, x_stride, columns,
         rows);
}

const CudaPackedLinear& packed(const PackedLinear& weights) {
  return static_cast<const CudaPackedLinear&>(weights);
}

int64_t depth_of(int64_t width, Precision precision) {
  return precision == Precision::kBf16 ? round_up(width, kDepthStep) : width;
}

template <typename Store>
void multiply_packed(const void* x, int64_t x_stride, const CudaPackedLinear& weights, int64_t rows,
                     const Store& store, cudaStream_t stream) {
  if (weights.precision == Precision::kBf16)
    multiply(static_cast<const uint16_t*>(x), static_cast<const uint16_t*>(weights.weight), weights.depth,
             rows, weights.out, store, stream);
  else
    multiply(static_cast<const float*>(x), x_stride, static_cast<const float*>(weights.weight), weights.depth,
             rows, weights.out, store, stream);
}

}  // namespace

// ---- packed layers

CudaPackedLinear::CudaPackedLinear(const std::vector<LinearSource>& sources, int64_t width,
                                   Precision of_products, bool is_transposed, DeviceMemory& memory)
    : transposed(is_transposed), memory_(memory) {
  in = width;
  precision = of_products;
  for (const LinearSource& source : sources) out += source.out;
  if (transposed) std::swap(in, out);
  depth = depth_of(in, precision);
  const size_t value = precision == Precision::kBf16 ? sizeof(uint16_t) : sizeof(float);
  bytes = static_cast<size_t>(out * depth) * value + static_cast<size_t>(out) * sizeof(float);
  weight = memory.allocate(static_cast<size_t>(out * depth) * value);
  bias = static_cast<float*>(memory.allocate(static_cast<size_t>(out) * sizeof(float)));
}

CudaPackedLinear::~CudaPackedLinear() {
  memory_.release(weight);
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
  check_cuda(cudaMemsetAsync(linear.bias, 0, static_cast<size_t>(linear.out) * sizeof(float), stream),
             "packing");
  const auto fill = [&](auto* weight) {
    int64_t first = 0;  // row of the stacked sources
    for (const LinearSource& source : sources) {
      const int64_t width = linear.transposed ? linear.out : linear.in;
      const float* const from = operation.in(source.weight, width, width, source.out);
      if (linear.transposed) {
        const bool last = first + source.out == linear.in;
        transpose(weight + first, linear.depth, last ? linear.depth - first : source.out, from, width, width,
                  source.out, stream);
      } else {
        auto* const to = weight + first * linear.depth;
        const int64_t values = source.out * linear.depth;
        launch(copy_rows_kernel<std::remove_pointer_t<decltype(weight)>>, blocks_of(values, kThreads),
               kThreads, 0, stream, to, linear.depth, from, width, width, source.out);
        if (source.bias)
          check_cuda(cudaMemcpyAsync(linear.bias + first, operation.in(source.bias, source.out),
                                     static_cast<size_t>(source.out) * sizeof(float),
                                     cudaMemcpyDeviceToDevice, stream),
                     "packing");
      }
      first += source.out;
    }
  };
  if (linear.precision == Precision::kBf16)
    fill(static_cast<uint16_t*>(linear.weight));
  else
    fill(static_cast<float*>(linear.weight));
}

// ---- operations

const void* CudaBackend::operand(const float* x, int64_t x_stride, int64_t width, const PackedLinear& weights,
                                 int64_t rows, Operation& operation) {
  if (weights.precision != Precision::kBf16) return x;
  const int64_t depth = packed(weights).depth;
  uint16_t* const rounded = operation.scratch<uint16_t>(rows * depth);
  launch(copy_rows_kernel<uint16_t>, blocks_of(rows * depth, kThreads), kThreads, 0, operation.stream(),
         rounded, depth, x, x_stride, width, rows);
  return rounded;
}

void CudaBackend::linear_forward(float* y, int64_t y_stride, const float* x, int64_t x_stride,
                                 const PackedLinear& weights, Activation activation, int64_t rows) {
  Operation operation(memory_);
  const CudaPackedLinear& linear = packed(weights);
  float* const to = operation.out(y, y_stride, linear.out, rows);
  const float* const from = operation.in(x, x_stride, linear.in, rows);
  const void* const factor = operand(from, x_stride, linear.in, linear, rows, operation);
  multiply_packed(factor, x_stride, linear, rows,
                  StoreRows<float>{to, y_stride, linear.bias, activation, false}, operation.stream());
  operation.finish();
}

void CudaBackend::linear_backward_input(float* dx, int64_t dx_stride, const float* dy, int64_t dy_stride,
                                        const PackedLinear& transposed, bool accumulate, int64_t rows) {
  Operation operation(memory_);
  const CudaPackedLinear& linear = packed(transposed);
  float* const to = accumulate ? operation.in_out(dx, dx_stride, linear.out, rows)
                               : operation.out(dx, dx_stride, linear.out, rows);
  const float* const from = operation.in(dy, dy_stride, linear.in, rows);
  const void* const factor = operand(from, dy_stride, linear.in, linear, rows, operation);
  multiply_packed(factor, dy_stride, linear, rows,
                  StoreRows<float>{to, dx_stride, nullptr, Activation::kIdentity, accumulate},
                  operation.stream());
  operation.finish();
}

void CudaBackend::qkv_forward(const Heads& heads, const float* x, const PackedLinear& weights, int64_t rows) {
  Operation operation(memory_);
  const CudaPackedLinear& linear = packed(weights);
  const int64_t x_stride = row_stride(linear.in), hidden = heads.heads * heads.size;
  const float* const from = operation.in(x, x_stride, linear.in, rows);
  const void* const factor = operand(from, x_stride, linear.in, linear, rows, operation);
  const bool narrow = heads.precision == Precision::kBf16;
  // As floats, of which a 16-bit value takes half.
  const int64_t matrix = heads.heads * rows * heads.stride,
                floats = narrow ? divide_up<int64_t>(matrix, 2) : matrix;
  void* parts[3] = {heads.query, heads.key, heads.value};
  for (void*& part : parts) part = operation.out(static_cast<float*>(part), floats, floats, 1);
  const auto store_to = [&](auto value) {
    using T = decltype(value);
    multiply_packed(
        factor, x_stride, linear, rows,
        StoreHeads<T>{static_cast<T*>(parts[0]), static_cast<T*>(parts[1]), static_cast<T*>(parts[2]), rows,
                      heads.size, heads.stride, hidden, linear.bias},
        operation.stream());
  };
  narrow ? store_to(uint16_t{}) : store_to(float{});
  operation.finish();
}

void CudaBackend::linear_backward_weights(const std::vector<LinearGradient>& gradients, const float* dy,
                                          int64_t dy_stride, const float* x, int64_t x_stride, int64_t in,
                                          Precision precision, int64_t rows) {
  // Rows that are turned into columns at a time.
  constexpr int64_t kMostRows = 16384;
  int64_t out = 0;
  for (const LinearGradient& gradient : gradients) out += gradient.out;
  Operation operation(memory_);
  const cudaStream_t stream = operation.stream();
  const float* const dy_rows = operation.in(dy, dy_stride, out, rows);
  const float* const x_rows = operation.in(x, x_stride, in, rows);
  const int64_t most = depth_of(std::min(rows, kMostRows), precision);
  std::vector<LinearGradient> to = gradients;
  for (LinearGradient& gradient : to) {
    gradient.weight = operation.in_out(gradient.weight, in, in, gradient.out);
    gradient.bias = operation.in_out(gradient.bias, gradient.out);
  }
  const auto add_products = [&](auto value) {
    using T = decltype(value);
    T* const dy_columns = operation.scratch<T>(out * most);
    T* const x_columns = operation.scratch<T>(in * most);
    for (int64_t begin = 0; begin < rows; begin += kMostRows) {
      const int64_t count = std::min(kMostRows, rows - begin), depth = depth_of(count, precision);
      transpose(dy_columns, depth, depth, dy_rows + begin * dy_stride, dy_stride, out, count, stream);
      transpose(x_columns, depth, depth, x_rows + begin * x_stride, x_stride, in, count, stream);
      int64_t first = 0;
      for (const LinearGradient& gradient : to) {
        const StoreRows<float> store{gradient.weight, in, nullptr, Activation::kIdentity, true};
        const T* const own = dy_columns + first * depth;
        if constexpr (std::is_same_v<T, float>)
          multiply(own, depth, x_columns, depth, gradient.out, in, store, stream);
        else
          multiply(own, x_columns, depth, gradient.out, in, store, stream);
        first += gradient.out;
      }
    }
  };
  precision == Precision::kBf16 ? add_products(uint16_t{}) : add_products(float{});
  int64_t first = 0;
  for (const LinearGradient& gradient : to) {
    if (gradient.bias)
      add_column_sums(gradient.bias, dy_rows + first, dy_stride, gradient.out, rows, operation);
    first += gradient.out;
  }
  operation.finish();
}

// ---- with what follows them

void CudaBackend::linear_residual_layernorm_forward(float* x, const float* input, const PackedLinear& weights,
                                                    const LayerNormWeights& norm, int64_t rows) {
  Operation operation(memory_);
  const CudaPackedLinear& linear = packed(weights);
  const int64_t stride = row_stride(linear.out), input_stride = row_stride(linear.in);
  float* const to = operation.in_out(x, stride, linear.out, rows);
  const float* const from = operation.in(input, input_stride, linear.in, rows);
  const void* const factor = operand(from, input_stride, linear.in, linear, rows, operation);
  multiply_packed(factor, input_stride, linear, rows,
                  StoreRows<float>{to, stride, linear.bias, Activation::kIdentity, true}, operation.stream());
  normalise(to, stride, to, stride, norm, linear.out, rows, operation);
  operation.finish();
}

void CudaBackend::feed_forward_forward(float* x, const PackedLinear& up, Activation activation,
                                       const PackedLinear& down, const LayerNormWeights& norm, int64_t rows) {
  Operation operation(memory_);
  const CudaPackedLinear &widen = packed(up), &narrow = packed(down);
  const int64_t stride = row_stride(widen.in);
  float* const stream_rows = operation.in_out(x, stride, widen.in, rows);
  const void* const factor = operand(stream_rows, stride, widen.in, widen, rows, operation);
  const StoreRows<float> add{stream_rows, stride, narrow.bias, Activation::kIdentity, true};
  const auto run = [&](auto value) {
    using T = decltype(value);
    T* const inner = operation.scratch<T>(rows * narrow.depth);
    if (narrow.depth > widen.out)
      check_cuda(
          cudaMemsetAsync(inner, 0, static_cast<size_t>(rows * narrow.depth) * sizeof(T), operation.stream()),
          "clearing rows");
    multiply_packed(factor, stride, widen, rows,
                    StoreRows<T>{inner, narrow.depth, widen.bias, activation, false}, operation.stream());
    multiply_packed(inner, narrow.depth, narrow, rows, add, operation.stream());
  };
  widen.precision == Precision::kBf16 ? run(uint16_t{}) : run(float{});
  normalise(stream_rows, stride, stream_rows, stride, norm, narrow.out, rows, operation);
  operation.finish();
}

}  // namespace albert::cuda
