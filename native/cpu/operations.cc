// The operations of inference on the CPU backend.
#include <cstring>

#include "cpu/backend.h"

namespace albert::cpu {
namespace {

// The half lane past an odd width takes part in products and must be zero.
void clear_column(void* rows, int64_t stride, int64_t column, int64_t count) {
  for (int64_t r = 0; r < count; ++r) static_cast<Bf16*>(rows)[r * stride + column] = 0;
}

}  // namespace

void CpuBackend::embedding_forward(float* y, float* sum, const int32_t* ids, const int32_t* types,
                                   const int32_t* positions, const EmbeddingWeights& weights, int64_t rows) {
  const int64_t stride = row_stride(weights.width);
  for_parts(rows, [&](int64_t begin, int64_t end) {
    kernels_.embedding(y + begin * stride, sum ? sum + begin * stride : nullptr, stride, ids + begin,
                       types + begin, positions + begin, weights, end - begin);
  });
}

void CpuBackend::qkv_forward(const Heads& heads, const float* x, const PackedLinear& weights, int64_t rows) {
  const int64_t stride = row_stride(weights.in);
  for_row_blocks(weights.precision, rows, [&](CpuBackend& backend, int64_t begin, int64_t end) {
    LinearTask task = backend.product(weights, {x + begin * stride, false, stride}, end - begin);
    task.epilogue = Epilogue::kHeads;
    task.heads = heads;
    task.head_rows = rows;
    task.first_row = begin;
    backend.run(task, weights.precision);
  });
  if (heads.precision == Precision::kBf16 && heads.size % 2)
    for (void* matrix : {heads.query, heads.key})
      clear_column(matrix, heads.stride, heads.size, heads.heads * rows);
}

void CpuBackend::attention_forward(float* context, float* probabilities, const Heads& heads,
                                   const Segments& segments, const Dropout& dropout) {
  attend(context, false, probabilities, heads, segments, dropout);
}

void CpuBackend::attend(void* context, bool context_is_bf16, float* probabilities, const Heads& heads,
                        const Segments& segments, const Dropout& dropout) {
  const int64_t head_rows = segments.rows(), context_stride = row_stride(heads.heads * heads.size);
  const size_t element = heads.precision == Precision::kFp32 ? sizeof(float) : sizeof(Bf16),
               context_element = context_is_bf16 ? sizeof(Bf16) : sizeof(float);
  const auto attention = kernels_.attention[static_cast<int>(heads.precision)];
  // More threads than heads: the queries of a head are divided too.
  const int64_t parts =
      std::max<int64_t>(1, 2 * threads() / std::max<int64_t>(1, segments.count * heads.heads));
  for_items(segments.count * heads.heads * parts, [&](CpuBackend& backend, int64_t item) {
    const int64_t s = item / parts / heads.heads, head = item / parts % heads.heads, part = item % parts;
    const int64_t all = segments.query_count(s), blocks = divide_up(all, kernels_.query_block);
    const int64_t begin = blocks * part / parts * kernels_.query_block;
    const int64_t end = std::min(all, blocks * (part + 1) / parts * kernels_.query_block);
    if (begin >= end) return;
    const size_t sequence =
        static_cast<size_t>((head * head_rows + segments.first_row(s)) * heads.stride) * element;
    AttentionTask task{};
    task.query = static_cast<const char*>(heads.query) + sequence;
    task.key = static_cast<const char*>(heads.key) + sequence;
    task.value = static_cast<const char*>(heads.value) + sequence;
    task.stride = heads.stride;
    task.head_size = heads.size;
    task.keys = segments.keys[s];
    task.queries = end - begin;
    if (segments.queries)
      task.query_rows = segments.queries + segments.query_begin[s] + begin;
    else
      task.query = static_cast<const char*>(task.query) + static_cast<size_t>(begin * heads.stride) * element;
    const int64_t first = (segments.first_query(s) + begin) * context_stride + head * heads.size;
    task.context = static_cast<char*>(context) + static_cast<size_t>(first) * context_element;
    task.context_is_bf16 = context_is_bf16;
    task.context_stride = context_stride;
    task.dropout = dropout;
    task.first_row = head * head_rows + segments.first_row(s) + begin;
    task.scratch = reinterpret_cast<Lane*>(backend.attention_scratch_);
    if (probabilities) {
      int64_t before = (head * all + begin) * task.keys;
      for (int64_t i = 0; i < s; ++i) before += heads.heads * segments.query_count(i) * segments.keys[i];
      task.probabilities = probabilities + before;
    }
    attention(task);
  });
}

void CpuBackend::linear_residual_layernorm_forward(float* x, const float* input, const PackedLinear& weights,
                                                   const LayerNormWeights& norm, int64_t rows) {
  add_product(x, {input, false, row_stride(weights.in)}, weights, norm, rows);
}

// The context is bf16 where its heads are.
void CpuBackend::attention_linear_residual_layernorm_forward(float* x, float* context, float* probabilities,
                                                             const Heads& heads, const Segments& segments,
                                                             const PackedLinear& weights,
                                                             const LayerNormWeights& norm) {
  const bool is_bf16 = heads.precision == Precision::kBf16;
  const int64_t rows = segments.query_rows(), stride = row_stride(weights.in);
  attend(context, is_bf16, probabilities, heads, segments, {});
  if (is_bf16 && weights.in % 2) clear_column(context, stride, weights.in, rows);
  // It takes half of its memory, so that another row is behind each.
  const bool spare_rows = is_bf16 && rows >= kernels_.tile_rows;
  add_product(x, {context, is_bf16, stride, spare_rows}, weights, norm, rows);
}

void CpuBackend::add_product(float* x, const Matrix& input, const PackedLinear& weights,
                             const LayerNormWeights& norm, int64_t rows) {
  const int64_t stride = row_stride(weights.out);
  for_row_blocks(weights.precision, rows, [&](CpuBackend& backend, int64_t begin, int64_t end) {
    LinearTask task = backend.product(weights, input.from(begin), end - begin);
    task.epilogue = Epilogue::kResidual;
    task.y = x + begin * stride;
    task.y_stride = stride;
    backend.run(task, weights.precision);
    backend.normalise(x + begin * stride, norm, weights.out, end - begin);
  });
}

// Both products of a block of rows, its inner activations in scratch memory that stays in cache.
void CpuBackend::feed_forward_forward(float* x, const PackedLinear& up, Activation activation,
                                      const PackedLinear& down, const LayerNormWeights& norm, int64_t rows) {
  const int64_t stride = row_stride(up.in), inner_stride = row_stride(up.out);
  const bool narrow_inner = up.precision != Precision::kFp32;
  for_row_blocks(up.precision, rows, [&](CpuBackend& backend, int64_t begin, int64_t end) {
    float* const block = x + begin * stride;
    LinearTask widen = backend.product(up, {block, false, stride}, end - begin);
    widen.activation = activation;
    widen.y = backend.inner_;
    widen.y_is_bf16 = narrow_inner;
    widen.y_stride = inner_stride;
    backend.run(widen, up.precision);
    if (narrow_inner && up.out % 2) clear_column(backend.inner_, inner_stride, up.out, end - begin);

    LinearTask narrow =
        backend.product(down, {backend.inner_, narrow_inner, inner_stride, true}, end - begin);
    narrow.epilogue = Epilogue::kResidual;
    narrow.y = block;
    narrow.y_stride = stride;
    backend.run(narrow, down.precision);
    backend.normalise(block, norm, down.out, end - begin);
  });
}

void CpuBackend::linear_forward(float* y, int64_t y_stride, const float* x, int64_t x_stride,
                                const PackedLinear& weights, Activation activation, int64_t rows) {
  for_row_blocks(weights.precision, rows, [&](CpuBackend& backend, int64_t begin, int64_t end) {
    LinearTask task = backend.product(weights, {x + begin * x_stride, false, x_stride}, end - begin);
    task.activation = activation;
    task.y = y + begin * y_stride;
    task.y_stride = y_stride;
    backend.run(task, weights.precision);
  });
}

void CpuBackend::layernorm_forward(float* y, int64_t y_stride, const float* x, int64_t x_stride,
                                   const LayerNormWeights& norm, int64_t width, int64_t rows) {
  for_parts(rows, [&](int64_t begin, int64_t end) {
    kernels_.layernorm(y + begin * y_stride, y_stride, x + begin * x_stride, x_stride, norm, width,
                       end - begin);
  });
}

void CpuBackend::gather_rows(float* y, int64_t y_stride, const float* x, int64_t x_stride,
                             const int32_t* rows, int64_t width, int64_t count) {
  for (int64_t r = 0; r < count; ++r)
    std::memcpy(y + r * y_stride, x + (rows ? rows[r] : r) * x_stride,
                static_cast<size_t>(width) * sizeof(float));
}

void CpuBackend::gather_queries(float* y, const float* x, const Segments& segments, int64_t width) {
  const int64_t stride = row_stride(width);
  for (int64_t s = 0; s < segments.count; ++s)
    gather_rows(y + segments.first_query(s) * stride, stride, x + segments.first_row(s) * stride, stride,
                segments.queries ? segments.queries + segments.query_begin[s] : nullptr, width,
                segments.query_count(s));
}

void CpuBackend::scatter_add_rows(float* x, int64_t x_stride, const float* y, int64_t y_stride,
                                  const int32_t* rows, int64_t width, int64_t count) {
  for (int64_t r = 0; r < count; ++r)
    for (int64_t i = 0; i < width; ++i) x[rows[r] * x_stride + i] += y[r * y_stride + i];
}

}  // namespace albert::cpu
