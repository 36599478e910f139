// The CPU backend: divides rows, panels or sequences between threads and calls the kernel table on each part.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/memory.h"
#include "cpu/packed_linear.h"
#include "cpu/thread_pool.h"
#include "ops.h"

namespace albert {
namespace cpu {
namespace {

// Rows a thread works on at a time: the block's activations stay in L2 while every panel of weights passes
// by. 32 to 128 measured equal (docs/performance.md).
constexpr int64_t kRowBlock = 64;
// Below this many rows a thread, the threads share each product; above, each takes rows through a whole
// operation and meets the others at its end.
constexpr int64_t kRowsPerThread = 32;
// Rows that a shared product must be ready for.
constexpr int64_t kMaxSharedRows = 256;
// Shards are used when the slowest thread has at most this much more than its share.
constexpr double kMaxImbalance = 1.07;

int64_t divide_up(int64_t value, int64_t divisor) { return (value + divisor - 1) / divisor; }
int64_t round_up(int64_t value, int64_t multiple) { return divide_up(value, multiple) * multiple; }

const CpuPackedLinear& packed(const PackedLinear& weights) {
  return static_cast<const CpuPackedLinear&>(weights);
}

// Rows of fp32 or bf16 values.
struct Matrix {
  const void* values;
  bool is_bf16;
  int64_t stride;
};

// The half lane past an odd width takes part in products and must be zero.
void clear_column(void* rows, int64_t stride, int64_t column, int64_t count) {
  for (int64_t r = 0; r < count; ++r) static_cast<Bf16*>(rows)[r * stride + column] = 0;
}

// The part of a task that computes its rows [begin, end).
LinearTask rows_of(const LinearTask& task, int64_t begin, int64_t end) {
  LinearTask part = task;
  part.x += begin * task.x_stride;
  if (task.row_scale) part.row_scale += begin, part.row_offset += begin;
  const size_t element = task.y_is_bf16 ? sizeof(Bf16) : sizeof(float);
  if (task.y) part.y = static_cast<char*>(task.y) + static_cast<size_t>(begin * task.y_stride) * element;
  part.first_row += begin;
  part.rows = end - begin;
  return part;
}

class CpuBackend final : public Backend {
 public:
  // A backend of several threads owns one serial backend for each; a serial backend has none.
  CpuBackend(const Kernels& kernels, int threads) : kernels_(kernels) {
    if (threads == 1) return;
    pool_ = std::make_unique<ThreadPool>(threads);
    for (int worker = 0; worker < pool_->size(); ++worker)
      workers_.push_back(std::make_unique<CpuBackend>(kernels, 1));
  }
  ~CpuBackend() override {
    for (float* memory : {operand_, row_scale_, inner_, attention_scratch_}) release_floats(memory);
  }

  const char* device() const override { return "cpu"; }
  const char* isa() const override { return kernels_.name; }
  int threads() const override { return pool_ ? pool_->size() : 1; }

  float* allocate(size_t floats) override { return allocate_floats(floats); }
  void release(float* memory) override { release_floats(memory); }
  const float* place(const float* host, size_t) override { return host; }
  std::unique_ptr<PackedLinear> pack(const std::vector<LinearSource>& sources, int64_t in,
                                     const LinearFormat& format) override;
  int64_t head_stride(int64_t head_size, Precision precision) const override {
    return round_up(head_size, kernels_.vector_width * values_per_lane(precision));
  }
  void reserve(const BackendLimits& limits) override;

  ShardPlan plan(const Segments& segments) const override;
  void run(const ShardPlan& plan, const ShardBody& body) override;

  void embedding_forward(float* y, const int32_t* ids, const int32_t* types, const int32_t* positions,
                         const EmbeddingWeights& weights, int64_t rows) override;
  void qkv_forward(const Heads& heads, const float* x, const PackedLinear& weights, int64_t rows) override;
  void attention_forward(float* context, float* probabilities, const Heads& heads,
                         const Segments& segments) override;
  void linear_residual_layernorm_forward(float* x, const float* input, const PackedLinear& weights,
                                         const LayerNormWeights& norm, int64_t rows) override;
  void feed_forward_forward(float* x, const PackedLinear& up, Activation activation, const PackedLinear& down,
                            const LayerNormWeights& norm, int64_t rows) override;
  void linear_forward(float* y, int64_t y_stride, const float* x, int64_t x_stride,
                      const PackedLinear& weights, Activation activation, int64_t rows) override;
  void layernorm_forward(float* y, int64_t y_stride, const float* x, int64_t x_stride,
                         const LayerNormWeights& norm, int64_t width, int64_t rows) override;
  void gather_rows(float* y, int64_t y_stride, const float* x, int64_t x_stride, const int32_t* rows,
                   int64_t width, int64_t count) override;

 private:
  // body(backend, item) for each of `items` independent items, each on one thread.
  template <typename Body>
  void for_items(int64_t items, const Body& body);
  // body(begin, end) over `count` rows, divided evenly between the threads.
  template <typename Body>
  void for_parts(int64_t count, const Body& body);
  // body(backend, begin, end) over blocks of rows: each on one thread where there are rows enough, otherwise
  // all rows on this backend, whose products the threads share.
  template <typename Body>
  void for_row_blocks(Precision precision, int64_t rows, const Body& body);
  int64_t tile_rows(Precision precision) const { return kernels_.tile_rows[static_cast<int>(precision)]; }

  // A product of all panels with rows of x, converted into this backend's scratch where its precision asks.
  LinearTask product(const PackedLinear& weights, const Matrix& x, int64_t rows);
  void run(const LinearTask& task, Precision precision);
  void normalise(float* x, const LayerNormWeights& norm, int64_t width, int64_t rows);

  const Kernels& kernels_;
  std::unique_ptr<ThreadPool> pool_;
  std::vector<std::unique_ptr<CpuBackend>> workers_;
  float* operand_ = nullptr;    // Lane [rows][lanes of the widest input + padding]; bf16 and int8
  float* row_scale_ = nullptr;  // [2][rows] scales, then offsets; int8
  int64_t scratch_rows_ = 0;
  float* inner_ = nullptr;  // [rows][row_stride(F)] of the feed-forward block, bf16 for bf16 and int8
  float* attention_scratch_ = nullptr;
};

// ---- memory

std::unique_ptr<PackedLinear> CpuBackend::pack(const std::vector<LinearSource>& sources, int64_t in,
                                               const LinearFormat& format) {
  auto weights = std::make_unique<CpuPackedLinear>(sources, in, format, kernels_);
  for_items(weights->panel_count(), [&](CpuBackend&, int64_t panel) { weights->fill(sources, panel); });
  return weights;
}

void CpuBackend::reserve(const BackendLimits& limits) {
  const Precision precision = limits.precision;
  const int64_t rows = pool_ ? std::min(kMaxSharedRows, kRowsPerThread * threads()) : kRowBlock;
  scratch_rows_ = rows + tile_rows(precision);
  const auto allocate_rows = [&](int64_t width) {
    return allocate_floats(static_cast<size_t>(scratch_rows_ * width));
  };
  inner_ = allocate_rows(row_stride(limits.max_width) / (precision == Precision::kFp32 ? 1 : 2));
  if (precision != Precision::kFp32)
    operand_ = allocate_rows(row_stride(lanes_of(limits.max_width, precision)));
  if (precision == Precision::kInt8) row_scale_ = allocate_rows(2);
  for (auto& worker : workers_) worker->reserve(limits);
  if (!pool_)
    attention_scratch_ = allocate_floats(static_cast<size_t>(
        kernels_.attention_scratch(head_stride(limits.head_size, Precision::kBf16), limits.max_length)));
}

// ---- scheduling

ShardPlan CpuBackend::plan(const Segments& segments) const {
  ShardPlan plan;
  plan.begin.push_back(0);
  std::vector<int64_t> sizes;
  for (int64_t s = 0; s < segments.count; ++s) {
    const int64_t rows = segments.row_begin[s + 1] - segments.row_begin[plan.begin.back()];
    if (rows < kRowBlock && s + 1 < segments.count) continue;
    plan.begin.push_back(static_cast<int32_t>(s + 1));
    sizes.push_back(rows);
    plan.max_rows = std::max(plan.max_rows, rows);
  }
  if (!pool_) return plan;

  // Workers draw shards in order; what the busiest of them would get tells whether that is fair.
  std::vector<int64_t> load(static_cast<size_t>(threads()), 0);
  for (int64_t size : sizes) *std::min_element(load.begin(), load.end()) += size;
  const double share = static_cast<double>(segments.rows()) / threads();
  if (static_cast<double>(*std::max_element(load.begin(), load.end())) <= kMaxImbalance * share) {
    plan.workers = threads();
    return plan;
  }
  plan.begin = {0, static_cast<int32_t>(segments.count)};
  plan.max_rows = segments.rows();
  return plan;
}

void CpuBackend::run(const ShardPlan& plan, const ShardBody& body) {
  const int64_t shards = static_cast<int64_t>(plan.begin.size()) - 1;
  if (plan.workers == 1) {
    for (int64_t shard = 0; shard < shards; ++shard) body(*this, 0, shard);
    return;
  }
  std::atomic<int64_t> next{0};
  auto work = [&](int worker) {
    for (int64_t shard; (shard = next.fetch_add(1)) < shards;) body(*workers_[worker], worker, shard);
  };
  pool_->run(work);
}

template <typename Body>
void CpuBackend::for_items(int64_t items, const Body& body) {
  if (!pool_) {
    for (int64_t item = 0; item < items; ++item) body(*this, item);
    return;
  }
  std::atomic<int64_t> next{0};
  auto work = [&](int worker) {
    for (int64_t item; (item = next.fetch_add(1)) < items;) body(*workers_[worker], item);
  };
  pool_->run(work);
}

template <typename Body>
void CpuBackend::for_parts(int64_t count, const Body& body) {
  const int64_t parts = std::min<int64_t>(threads(), count);
  for_items(parts,
            [&](CpuBackend&, int64_t part) { body(count * part / parts, count * (part + 1) / parts); });
}

template <typename Body>
void CpuBackend::for_row_blocks(Precision precision, int64_t rows, const Body& body) {
  if (rows == 0) return;
  if (pool_ && rows < std::min(kMaxSharedRows, kRowsPerThread * threads())) return body(*this, 0, rows);
  const int64_t tile = tile_rows(precision), largest = kRowBlock / tile * tile;
  const int64_t blocks = divide_up(rows, largest * threads()) * threads();
  const int64_t size = std::min(largest, round_up(divide_up(rows, blocks), tile));
  for_items(divide_up(rows, size), [&](CpuBackend& backend, int64_t item) {
    body(backend, item * size, std::min(rows, (item + 1) * size));
  });
}

// ---- products

LinearTask CpuBackend::product(const PackedLinear& weights, const Matrix& x, int64_t rows) {
  const CpuPackedLinear& linear = packed(weights);
  LinearTask task = linear.task();
  task.rows = rows;
  const bool multiplied_as_it_is =
      linear.precision == Precision::kFp32 || (linear.precision == Precision::kBf16 && x.is_bf16);
  if (multiplied_as_it_is) {
    task.x = static_cast<const Lane*>(x.values);
    task.x_stride = x.stride / values_per_lane(linear.precision);
    task.spare_rows = x.values == inner_;
    return task;
  }
  OperandTask convert{};
  convert.x_is_bf16 = x.is_bf16;
  convert.x_stride = x.stride;
  convert.input_scale = linear.input_scale();
  convert.width = linear.in;
  convert.lane_stride = row_stride(linear.depth());
  if (linear.precision == Precision::kInt8) {
    task.row_scale = convert.row_scale = row_scale_;
    task.row_offset = convert.row_offset = row_scale_ + scratch_rows_;
  }
  const size_t element = x.is_bf16 ? sizeof(Bf16) : sizeof(float);
  for_parts(rows, [&](int64_t begin, int64_t end) {
    OperandTask part = convert;
    part.x = static_cast<const char*>(x.values) + static_cast<size_t>(begin * x.stride) * element;
    part.lanes = reinterpret_cast<Lane*>(operand_) + begin * part.lane_stride;
    if (part.row_scale) part.row_scale += begin, part.row_offset += begin;
    part.rows = end - begin;
    kernels_.operand[static_cast<int>(linear.precision)](part);
  });
  task.x = reinterpret_cast<const Lane*>(operand_);
  task.x_stride = convert.lane_stride;
  task.spare_rows = true;
  return task;
}

// Threads share a product by panels, and by rows too where that leaves the busiest of them less to do.
void CpuBackend::run(const LinearTask& task, Precision precision) {
  const auto linear = kernels_.linear[static_cast<int>(precision)];
  if (!pool_) return linear(task);
  const int64_t tile = tile_rows(precision), tiles = divide_up(task.rows, tile), panels = task.panel_end;
  int64_t row_parts = 1, least = tiles * panels;
  for (int64_t parts = 1; parts <= std::min<int64_t>(threads(), tiles); ++parts) {
    const int64_t work = divide_up(tiles, parts) * divide_up(panels, threads() / parts);
    if (work < least) row_parts = parts, least = work;
  }
  const int64_t panel_parts = std::min(panels, threads() / row_parts);
  for_items(row_parts * panel_parts, [&](CpuBackend&, int64_t item) {
    const int64_t row_part = item / panel_parts, panel_part = item % panel_parts;
    const int64_t begin = tiles * row_part / row_parts * tile;
    LinearTask part = rows_of(task, begin, std::min(task.rows, tiles * (row_part + 1) / row_parts * tile));
    part.panel_begin = panels * panel_part / panel_parts;
    part.panel_end = panels * (panel_part + 1) / panel_parts;
    linear(part);
  });
}

void CpuBackend::normalise(float* x, const LayerNormWeights& norm, int64_t width, int64_t rows) {
  const int64_t stride = row_stride(width);
  for_parts(rows, [&](int64_t begin, int64_t end) {
    kernels_.layernorm(x + begin * stride, stride, x + begin * stride, stride, norm, width, end - begin);
  });
}

// ---- operations

void CpuBackend::embedding_forward(float* y, const int32_t* ids, const int32_t* types,
                                   const int32_t* positions, const EmbeddingWeights& weights, int64_t rows) {
  const int64_t stride = row_stride(weights.width);
  for_parts(rows, [&](int64_t begin, int64_t end) {
    kernels_.embedding(y + begin * stride, stride, ids + begin, types + begin, positions + begin, weights,
                       end - begin);
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
                                   const Segments& segments) {
  const int64_t head_rows = segments.rows(), context_stride = row_stride(heads.heads * heads.size);
  const size_t element = heads.precision == Precision::kFp32 ? sizeof(float) : sizeof(Bf16);
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
    task.context = context + (segments.first_query(s) + begin) * context_stride + head * heads.size;
    task.context_stride = context_stride;
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
  const int64_t stride = row_stride(weights.out), input_stride = row_stride(weights.in);
  for_row_blocks(weights.precision, rows, [&](CpuBackend& backend, int64_t begin, int64_t end) {
    LinearTask task =
        backend.product(weights, {input + begin * input_stride, false, input_stride}, end - begin);
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

    LinearTask narrow = backend.product(down, {backend.inner_, narrow_inner, inner_stride}, end - begin);
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

}  // namespace
}  // namespace cpu

std::unique_ptr<Backend> make_cpu_backend(const std::string& isa, int threads) {
  const int limit = cpu::available_threads();
  return std::make_unique<cpu::CpuBackend>(cpu::select_kernels(isa), threads > 0 ? threads : limit);
}

}  // namespace albert
