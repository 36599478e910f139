// Matrix products: exact fp32 on the ordinary units, bf16 on the tensor cores, and the packing of their factors.
#include "cuda/gemm.cuh"

#include <utility>

#include "cuda/backend.h"

namespace albert::cuda {
namespace {

constexpr int kThreads = 256;

// ---- fp32: a block computes kTile x kTile sums, a thread kSide x kSide of them

template <int kSide, typename Store>
__global__ void __launch_bounds__(kThreads)
    multiply_fp32_kernel(const float* x, int64_t x_stride, const float* weights, int64_t depth, int64_t rows,
                         int64_t out, Store store) {
  constexpr int kGrid = 16, kTile = kSide * kGrid, kStep = 16, kPadded = kTile + 4;
  __shared__ float x_tile[kStep][kPadded], w_tile[kStep][kPadded];
  const int64_t first_row = int64_t{blockIdx.y} * kTile, first_column = int64_t{blockIdx.x} * kTile;
  const int thread_row = threadIdx.x / kGrid, thread_column = threadIdx.x % kGrid;
  float sums[kSide][kSide] = {};
  for (int64_t begin = 0; begin < depth; begin += kStep) {
    const int k = threadIdx.x % kStep;
    for (int line = threadIdx.x / kStep; line < kTile; line += kThreads / kStep) {
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

// ---- bf16: a block computes kRows x kColumns sums, a warp 32 or 64 x 32 of them, from a ring of shared memory
// that copies fill while the tensor cores work on what came before

constexpr int kStages = 3;
constexpr int kChunk = 8;                               // values of 16 bytes
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
__global__ void __launch_bounds__(kThreads) transpose_kernel(T* y, int64_t y_stride, int64_t padded_rows, const float* x,
                                                int64_t x_stride, int64_t columns, int64_t rows) {
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
void transpose(T* y, int64_t y_stride, int64_t padded_rows, const float* x, int64_t x_stride, int64_t columns, int64_t rows,
               cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(divide_up<int64_t>(columns, kWarp)),
                  static_cast<unsigned>(divide_up<int64_t>(padded_rows, kWarp)));
  launch(transpose_kernel<T>, grid, kThreads, 0, stream, y, y_stride, padded_rows, x, x_stride, columns, rows);
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

template <typename Store>
void multiply(const float* x, int64_t x_stride, const float* weights, int64_t depth, int64_t rows,
              int64_t out, const Store& store, cudaStream_t stream) {
  const auto grid = [&](int64_t tile) {
    return dim3(static_cast<unsigned>(divide_up(out, tile)), static_cast<unsigned>(divide_up(rows, tile)));
  };
  // Small products get small tiles, so that more blocks share them; the chain of a sum is the same.
  if (rows >= 512)
    launch(multiply_fp32_kernel<8, Store>, grid(128), kThreads, 0, stream, x, x_stride, weights, depth, rows,
           out, store);
  else
    launch(multiply_fp32_kernel<4, Store>, grid(64), kThreads, 0, stream, x, x_stride, weights, depth, rows,
           out, store);
}

template <typename Store>
void multiply(const uint16_t* x, const uint16_t* weights, int64_t depth, int64_t rows, int64_t out,
              const Store& store, cudaStream_t stream) {
  const auto start = [&](auto kernel, int64_t tile, int threads, size_t shared_bytes) {
    const dim3 grid(static_cast<unsigned>(divide_up(out, tile)), static_cast<unsigned>(divide_up(rows, tile)));
    launch(kernel, grid, threads, shared_bytes, stream, x, weights, depth, rows, out, store);
  };
  using Large = Bf16Tile<128, 128>;
  using Small = Bf16Tile<64, 64>;
  if (rows >= 1024)
    start(multiply_bf16_kernel<128, 128, Store>, 128, Large::kThreads, Large::kSharedBytes);
  else
    start(multiply_bf16_kernel<64, 64, Store>, 64, Small::kThreads, Small::kSharedBytes);
}

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
  check_cuda(cudaMemsetAsync(linear.bias, 0, static_cast<size_t>(linear.out) * sizeof(float), stream), "packing");
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
        launch(copy_rows_kernel<std::remove_pointer_t<decltype(weight)>>, blocks_of(values, kThreads), kThreads, 0,
               stream, to, linear.depth, from, width, width, source.out);
        if (source.bias)
          check_cuda(cudaMemcpyAsync(linear.bias + first, operation.in(source.bias, source.out),
                                     static_cast<size_t>(source.out) * sizeof(float), cudaMemcpyDeviceToDevice,
                                     stream),
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
  const int64_t matrix = heads.heads * rows * heads.stride, floats = narrow ? divide_up<int64_t>(matrix, 2) : matrix;
  void* parts[3] = {heads.query, heads.key, heads.value};
  for (void*& part : parts) part = operation.out(static_cast<float*>(part), floats, floats, 1);
  const auto store_to = [&](auto value) {
    using T = decltype(value);
    multiply_packed(factor, x_stride, linear, rows,
                    StoreHeads<T>{{static_cast<T*>(parts[0]), static_cast<T*>(parts[1]), static_cast<T*>(parts[2])},
                                  rows, heads.size, heads.stride, hidden, linear.bias},
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
    if (gradient.bias) add_column_sums(gradient.bias, dy_rows + first, dy_stride, gradient.out, rows, operation);
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
      check_cuda(cudaMemsetAsync(inner, 0, static_cast<size_t>(rows * narrow.depth) * sizeof(T), operation.stream()),
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
