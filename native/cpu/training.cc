// The operations of training on the CPU backend: gradients and optimisation. Sums over rows are taken in
// chunks and blocks of fixed size and added in order, so that no thread count changes a bit.
#include <numeric>

#include "cpu/backend.h"

namespace albert::cpu {
namespace {

// Rows that a weight gradient multiplies at a time: a panel and a tile's rows of that depth fit the caches as
// those of a forward product do.
constexpr int64_t kChunkRows = 1024;
// Rows of a LayerNorm whose gradients one item adds up, and the items that are added up at a time.
constexpr int64_t kSumRows = 64, kSumBlocks = 64;
// Columns of dY that are turned into rows at a time; a language head has as many as its vocabulary.
constexpr int64_t kMaxGradientColumns = 4096;
// Values of a tensor that one item of an optimiser's pass works on.
constexpr int64_t kTensorChunk = 16384;

// A part of a tensor, small enough that threads share all tensors evenly.
struct Chunk {
  size_t tensor;
  int64_t begin, count;
};
std::vector<Chunk> chunks_of(const std::vector<OptimizedTensor>& tensors) {
  std::vector<Chunk> chunks;
  for (size_t t = 0; t < tensors.size(); ++t)
    for (int64_t at = 0; at < tensors[t].count; at += kTensorChunk)
      chunks.push_back({t, tensors[t].begin + at, std::min(kTensorChunk, tensors[t].count - at)});
  return chunks;
}

// Pointers to `count` rows.
std::vector<const float*> row_pointers(const float* x, int64_t stride, int64_t count) {
  std::vector<const float*> rows;
  for (int64_t r = 0; r < count; ++r) rows.push_back(x + r * stride);
  return rows;
}

}  // namespace

void CpuBackend::reserve_training(const BackendLimits& limits) {
  max_width_ = limits.max_width;
  const int64_t columns = round_up(max_width_, kernels_.panel_width);
  gradient_columns_ = std::max(max_width_, kMaxGradientColumns);
  const auto allocate = [](int64_t floats) { return allocate_floats(static_cast<size_t>(floats)); };
  gradient_panels_ = allocate(kChunkRows * columns);
  gradient_rows_ = allocate((round_up(gradient_columns_, kernels_.vector_width) + kernels_.tile_rows) *
                            row_stride(kChunkRows));
  partial_sums_ = allocate(2 * kSumBlocks * row_stride(max_width_));
  zeros_ = allocate(columns);
  std::fill_n(zeros_, columns, 0.0f);
}

void CpuBackend::linear_backward_input(float* dx, int64_t dx_stride, const float* dy, int64_t dy_stride,
                                       const PackedLinear& transposed, bool accumulate, int64_t rows) {
  for_row_blocks(transposed.precision, rows, [&](CpuBackend& backend, int64_t begin, int64_t end) {
    LinearTask task = backend.product(transposed, {dy + begin * dy_stride, false, dy_stride}, end - begin);
    task.epilogue = accumulate ? Epilogue::kResidual : Epilogue::kActivation;
    task.activation = Activation::kIdentity;
    task.y = dx + begin * dx_stride;
    task.y_stride = dx_stride;
    backend.run(task, transposed.precision);
  });
}

void CpuBackend::linear_backward_weights(const std::vector<LinearGradient>& gradients, const float* dy,
                                         int64_t dy_stride, const float* x, int64_t x_stride, int64_t in,
                                         Precision precision, int64_t rows) {
  const int kind = static_cast<int>(precision);
  const int64_t width = kernels_.panel_width, panels = divide_up(in, width), vector = kernels_.vector_width;
  for (int64_t row = 0; row < rows; row += kChunkRows) {
    const int64_t count = std::min(kChunkRows, rows - row), depth = lanes_of(count, precision);
    const std::vector<const float*> x_rows = row_pointers(x + row * x_stride, x_stride, count);
    LinearTask task{};
    task.panels = reinterpret_cast<const Lane*>(gradient_panels_);
    for_items(panels, [&](CpuBackend&, int64_t panel) {
      kernels_.panel_of_rows[kind](reinterpret_cast<Lane*>(gradient_panels_) + panel * depth * width,
                                   x_rows.data(), count, panel * width, std::min(width, in - panel * width));
    });
    task.bias = zeros_;
    task.depth = depth;
    task.out = in;
    task.panel_end = panels;
    task.epilogue = Epilogue::kResidual;
    task.y_stride = in;
    task.x = reinterpret_cast<const Lane*>(gradient_rows_);
    task.x_stride = row_stride(depth * kernels_.row_lanes(precision));
    task.spare_rows = true;

    const float* columns = dy + row * dy_stride;
    for (const LinearGradient& gradient : gradients) {
      for (int64_t begin = 0; begin < gradient.out; begin += gradient_columns_) {
        const int64_t some = std::min(gradient_columns_, gradient.out - begin);
        const std::vector<const float*> dy_rows = row_pointers(columns + begin, dy_stride, count);
        float* const sums = gradient.bias ? gradient.bias + begin : partial_sums_;
        for_items(divide_up(some, vector), [&](CpuBackend&, int64_t item) {
          const int64_t column = item * vector;
          Lane* out = reinterpret_cast<Lane*>(gradient_rows_) + column * task.x_stride;
          kernels_.columns_as_rows[kind](out, task.x_stride, sums, dy_rows.data(), count, column,
                                         std::min(vector, some - column));
        });
        task.y = gradient.weight + begin * in;
        for_row_blocks(precision, some, [&](CpuBackend& backend, int64_t first, int64_t end) {
          backend.run(rows_of(task, first, end), precision);
        });
      }
      columns += gradient.out;
    }
  }
}

void CpuBackend::attention_backward(float* dqkv, const float* dcontext, const Heads& heads,
                                    const Segments& segments, const Dropout& dropout) {
  const int64_t hidden = heads.heads * heads.size, rows = segments.rows();
  const int64_t context_stride = row_stride(hidden), gradient_stride = row_stride(3 * hidden);
  for_items(segments.count * heads.heads, [&](CpuBackend& backend, int64_t item) {
    const int64_t s = item / heads.heads, head = item % heads.heads, row = segments.first_row(s);
    const int64_t before = (head * rows + row) * heads.stride;
    AttentionGradientTask task{};
    task.query = static_cast<const float*>(heads.query) + before;
    task.key = static_cast<const float*>(heads.key) + before;
    task.value = static_cast<const float*>(heads.value) + before;
    task.stride = heads.stride;
    task.head_size = heads.size;
    task.keys = segments.keys[s];
    task.queries = segments.row_count(s);
    task.dcontext = dcontext + row * context_stride + head * heads.size;
    task.dcontext_stride = context_stride;
    task.dquery = dqkv + row * gradient_stride + head * heads.size;
    task.dkey = task.dquery + hidden;
    task.dvalue = task.dkey + hidden;
    task.gradient_stride = gradient_stride;
    task.dropout = dropout;
    task.first_row = head * rows + row;
    task.scratch = reinterpret_cast<Lane*>(backend.attention_scratch_);
    kernels_.attention_backward(task);
  });
}

// Rows of a batch may name the same word: one thread adds them in order.
void CpuBackend::embedding_backward(const EmbeddingGradient& gradient, const float* dsum, const int32_t* ids,
                                    const int32_t* types, const int32_t* positions, int64_t width,
                                    int64_t rows) {
  kernels_.embedding_backward(gradient, dsum, row_stride(width), ids, types, positions, width, rows);
}

void CpuBackend::activation_forward(float* y, const float* x, Activation activation, int64_t width,
                                    int64_t rows) {
  const int64_t stride = row_stride(width);
  for_parts(rows, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      kernels_.activation_forward(y + r * stride, x + r * stride, activation, width);
  });
}

void CpuBackend::activation_backward(float* dx, float* y, const float* dy, const float* x,
                                     Activation activation, int64_t width, int64_t rows) {
  const int64_t stride = row_stride(width);
  for_parts(rows, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin * stride; at < end * stride; at += stride)
      kernels_.activation_backward(dx + at, y + at, dy + at, x + at, activation, width);
  });
}

void CpuBackend::layernorm_backward(float* dx, const LayerNormGradient& gradient, const float* dy,
                                    const float* x, const LayerNormWeights& norm, int64_t width,
                                    int64_t rows) {
  const int64_t stride = row_stride(width);
  for (int64_t first = 0; first < rows; first += kSumRows * kSumBlocks) {
    const int64_t count = std::min(rows - first, kSumRows * kSumBlocks), blocks = divide_up(count, kSumRows);
    for_items(blocks, [&](CpuBackend&, int64_t block) {
      float* const sums = partial_sums_ + block * 2 * stride;
      std::fill_n(sums, 2 * stride, 0.0f);
      const int64_t begin = first + block * kSumRows, at = begin * stride;
      kernels_.layernorm_backward(dx + at, {sums, sums + stride}, dy + at, x + at, stride, norm, width,
                                  std::min(kSumRows, first + count - begin));
    });
    for (int64_t block = 0; block < blocks; ++block) {
      const float* const sums = partial_sums_ + block * 2 * stride;
      for (int64_t i = 0; i < width; ++i) {
        gradient.weight[i] += sums[i];
        gradient.bias[i] += sums[stride + i];
      }
    }
  }
}

void CpuBackend::residual_layernorm_forward(float* y, float* sum, const float* x,
                                            const LayerNormWeights& norm, const Dropout& dropout,
                                            int64_t width, int64_t rows) {
  const int64_t stride = row_stride(width);
  for_parts(rows, [&](int64_t begin, int64_t end) {
    const int64_t at = begin * stride;
    kernels_.residual_layernorm(y + at, sum + at, x + at, stride, norm, dropout, begin, width, end - begin);
  });
}

void CpuBackend::dropout_forward(float* y, const float* x, const Dropout& dropout, int64_t width,
                                 int64_t rows) {
  const int64_t stride = row_stride(width);
  for_parts(rows, [&](int64_t begin, int64_t end) {
    kernels_.dropout(y + begin * stride, x + begin * stride, stride, dropout, begin, width, end - begin);
  });
}

void CpuBackend::cross_entropy_forward_backward(float* losses, uint8_t* hits, float* logits,
                                                const int32_t* labels, const float* scales, int64_t width,
                                                int64_t rows) {
  for_items(rows, [&](CpuBackend&, int64_t row) {
    kernels_.cross_entropy(losses + row, hits + row, logits + row * width, labels[row], scales[row], width);
  });
}

// ---- optimisation

double CpuBackend::squared_norm(const float* x, int64_t count) {
  std::vector<double> squares(static_cast<size_t>(divide_up(count, kTensorChunk)));
  for_items(static_cast<int64_t>(squares.size()), [&](CpuBackend&, int64_t i) {
    const int64_t begin = i * kTensorChunk;
    squares[static_cast<size_t>(i)] = kernels_.squared_norm(x + begin, std::min(kTensorChunk, count - begin));
  });
  return std::accumulate(squares.begin(), squares.end(), 0.0);
}

void CpuBackend::optimizer_step(const OptimizerMemory& memory, const MomentRule& rule,
                                const std::vector<OptimizedTensor>& tensors) {
  const std::vector<Chunk> chunks = chunks_of(tensors);
  const int64_t count = static_cast<int64_t>(chunks.size());
  std::vector<SquaredNorms> norms(chunks.size());
  for_items(count, [&](CpuBackend&, int64_t i) {
    const Chunk& chunk = chunks[static_cast<size_t>(i)];
    norms[static_cast<size_t>(i)] = kernels_.moments(
        memory.gradients + chunk.begin, memory.first + chunk.begin, memory.second + chunk.begin,
        memory.weights + chunk.begin, rule, tensors[chunk.tensor].decay, chunk.count);
  });
  std::vector<SquaredNorms> of_tensors(tensors.size());
  for (size_t i = 0; i < chunks.size(); ++i) {
    SquaredNorms& sum = of_tensors[chunks[i].tensor];
    sum.weight += norms[i].weight, sum.update += norms[i].update;
  }
  for_items(count, [&](CpuBackend&, int64_t i) {
    const Chunk& chunk = chunks[static_cast<size_t>(i)];
    const OptimizedTensor& tensor = tensors[chunk.tensor];
    const double ratio = tensor.has_trust_ratio ? trust_ratio(of_tensors[chunk.tensor]) : 1;
    kernels_.descend(memory.weights + chunk.begin, memory.gradients + chunk.begin,
                     static_cast<float>(tensor.rate * ratio), chunk.count);
  });
}

}  // namespace albert::cpu
