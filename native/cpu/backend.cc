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
// Below this many rows a thread, splitting the columns of the weights beats splitting rows.
constexpr int64_t kRowsPerThread = 32;
// Rows that the column split must be ready for.
constexpr int64_t kMaxColumnSplitRows = 256;
// Shards are used when the slowest thread has at most this much more than its share.
constexpr double kMaxImbalance = 1.07;

int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

const CpuPackedLinear& packed(const PackedLinear& weights) {
  return static_cast<const CpuPackedLinear&>(weights);
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
    release_floats(row_scratch_);
    release_floats(attention_scratch_);
  }

  const char* device() const override { return "cpu"; }
  const char* isa() const override { return kernels_.name; }
  int threads() const override { return pool_ ? pool_->size() : 1; }

  float* allocate(size_t floats) override { return allocate_floats(floats); }
  void release(float* memory) override { release_floats(memory); }
  const float* place(const float* host, size_t) override { return host; }
  std::unique_ptr<PackedLinear> pack(const std::vector<LinearSource>& sources, int64_t in) override {
    return std::make_unique<CpuPackedLinear>(sources, in, kernels_.panel_width);
  }
  int64_t head_stride(int64_t head_size) const override { return round_up(head_size, kernels_.vector_width); }

  void reserve(const BackendLimits& limits) override {
    scratch_stride_ = row_stride(limits.max_width);
    const int64_t rows = pool_ ? std::min(kMaxColumnSplitRows, kRowsPerThread * threads()) : kRowBlock;
    row_scratch_ = allocate_floats(static_cast<size_t>(rows * scratch_stride_));
    for (auto& worker : workers_) worker->reserve(limits);
    if (!pool_)
      attention_scratch_ = allocate_floats(
          static_cast<size_t>(kernels_.attention_scratch(limits.head_size, limits.max_length)));
  }

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
  bool splits_rows(int64_t rows) const {
    return !pool_ || rows >= std::min(kMaxColumnSplitRows, kRowsPerThread * threads());
  }
  // body(backend, begin, end) over blocks of rows, each on one thread; needs splits_rows(rows).
  template <typename Body>
  void for_row_blocks(int64_t rows, const Body& body);
  // body(backend, item) for each of `items` independent items.
  template <typename Body>
  void for_items(int64_t items, const Body& body);
  // The product of few rows, its panels divided between the threads.
  void linear_by_panels(const LinearTask& task);
  void linear(const LinearTask& task);

  const Kernels& kernels_;
  std::unique_ptr<ThreadPool> pool_;
  std::vector<std::unique_ptr<CpuBackend>> workers_;
  int64_t scratch_stride_ = 0;
  float* row_scratch_ = nullptr;  // [kRowBlock, or the rows of a column split][scratch_stride_]
  float* attention_scratch_ = nullptr;
};

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
void CpuBackend::for_row_blocks(int64_t rows, const Body& body) {
  if (rows == 0) return;
  const int64_t rounds = (rows + kRowBlock * threads() - 1) / (kRowBlock * threads());
  const int64_t blocks = rounds * threads();
  const int64_t block = round_up((rows + blocks - 1) / blocks, kernels_.tile_rows);
  const int64_t size = std::min(block, kRowBlock);
  for_items((rows + size - 1) / size, [&](CpuBackend& backend, int64_t item) {
    body(backend, item * size, std::min(rows, (item + 1) * size));
  });
}

void CpuBackend::linear_by_panels(const LinearTask& task) {
  const int64_t parts = std::min<int64_t>(threads(), task.panel_end);
  for_items(parts, [&](CpuBackend&, int64_t part) {
    LinearTask some = task;
    some.panel_begin = task.panel_end * part / parts;
    some.panel_end = task.panel_end * (part + 1) / parts;
    kernels_.linear(some);
  });
}

void CpuBackend::linear(const LinearTask& task) {
  if (!splits_rows(task.rows)) return linear_by_panels(task);
  for_row_blocks(task.rows, [&](CpuBackend&, int64_t begin, int64_t end) {
    LinearTask block = task;
    block.x += begin * task.x_stride;
    block.y += begin * task.y_stride;
    block.first_row += begin;
    block.rows = end - begin;
    kernels_.linear(block);
  });
}

// ---- operations

void CpuBackend::embedding_forward(float* y, const int32_t* ids, const int32_t* types,
                                   const int32_t* positions, const EmbeddingWeights& weights, int64_t rows) {
  const int64_t y_stride = row_stride(weights.map->out), x_stride = row_stride(weights.width);
  LinearTask task = packed(*weights.map).task();
  task.x_stride = x_stride;
  task.y_stride = y_stride;
  auto embed = [&](float* scratch, int64_t begin, int64_t end) {
    kernels_.embedding(scratch, x_stride, ids + begin, types + begin, positions + begin, weights,
                       end - begin);
    LinearTask block = task;
    block.x = scratch;
    block.y = y + begin * y_stride;
    block.rows = end - begin;
    return block;
  };
  if (!splits_rows(rows)) return linear_by_panels(embed(row_scratch_, 0, rows));
  for_row_blocks(rows, [&](CpuBackend& backend, int64_t begin, int64_t end) {
    kernels_.linear(embed(backend.row_scratch_, begin, end));
  });
}

void CpuBackend::qkv_forward(const Heads& heads, const float* x, const PackedLinear& weights, int64_t rows) {
  LinearTask task = packed(weights).task();
  task.x = x;
  task.x_stride = row_stride(task.in);
  task.rows = rows;
  task.epilogue = Epilogue::kHeads;
  task.heads = heads;
  task.head_rows = rows;
  linear(task);
}

void CpuBackend::attention_forward(float* context, float* probabilities, const Heads& heads,
                                   const Segments& segments) {
  const int64_t head_rows = segments.rows(), context_stride = row_stride(heads.heads * heads.size);
  for_items(segments.count * heads.heads, [&](CpuBackend& backend, int64_t item) {
    const int64_t s = item / heads.heads, head = item % heads.heads, queries = segments.query_count(s);
    const int64_t sequence = (head * head_rows + segments.first_row(s)) * heads.stride;
    AttentionTask task{};
    task.query = heads.query + sequence;
    task.key = heads.key + sequence;
    task.value = heads.value + sequence;
    task.stride = heads.stride;
    task.head_size = heads.size;
    task.keys = segments.keys[s];
    task.context_stride = context_stride;
    task.scratch = backend.attention_scratch_;
    float* head_probabilities = nullptr;
    if (probabilities) {
      int64_t before = head * queries * task.keys;
      for (int64_t i = 0; i < s; ++i) before += heads.heads * segments.query_count(i) * segments.keys[i];
      head_probabilities = probabilities + before;
    }
    for (int64_t q = 0; q < queries; q += kernels_.query_block) {
      task.first_query = q;
      task.query_rows = segments.queries ? segments.queries + segments.query_begin[s] + q : nullptr;
      task.queries = std::min(kernels_.query_block, queries - q);
      task.context = context + (segments.first_query(s) + q) * context_stride + head * heads.size;
      task.probabilities = head_probabilities ? head_probabilities + q * task.keys : nullptr;
      kernels_.attention(task);
    }
  });
}

void CpuBackend::linear_residual_layernorm_forward(float* x, const float* input, const PackedLinear& weights,
                                                   const LayerNormWeights& norm, int64_t rows) {
  LinearTask task = packed(weights).task();
  task.x = input;
  task.x_stride = row_stride(task.in);
  task.rows = rows;
  task.epilogue = Epilogue::kResidual;
  task.y = x;
  task.y_stride = row_stride(task.out);
  if (!splits_rows(rows)) {
    linear_by_panels(task);
    return kernels_.layernorm(x, task.y_stride, x, task.y_stride, norm, task.out, rows);
  }
  for_row_blocks(rows, [&](CpuBackend&, int64_t begin, int64_t end) {
    LinearTask block = task;
    block.x += begin * task.x_stride;
    block.y += begin * task.y_stride;
    block.rows = end - begin;
    kernels_.linear(block);
    kernels_.layernorm(block.y, task.y_stride, block.y, task.y_stride, norm, task.out, block.rows);
  });
}

void CpuBackend::feed_forward_forward(float* x, const PackedLinear& up, Activation activation,
                                      const PackedLinear& down, const LayerNormWeights& norm, int64_t rows) {
  LinearTask widen = packed(up).task();
  widen.x_stride = row_stride(widen.in);
  widen.y_stride = row_stride(widen.out);
  widen.activation = activation;
  LinearTask narrow = packed(down).task();
  narrow.x_stride = widen.y_stride;
  narrow.y_stride = widen.x_stride;
  narrow.epilogue = Epilogue::kResidual;
  // Both products of a block, its inner activations in scratch memory that stays in cache.
  struct Block {
    LinearTask widen, narrow;
  };
  auto block_of = [&](float* inner, int64_t begin, int64_t end) {
    Block block{widen, narrow};
    block.widen.x = block.narrow.y = x + begin * widen.x_stride;
    block.widen.y = inner;
    block.narrow.x = inner;
    block.widen.rows = block.narrow.rows = end - begin;
    return block;
  };
  auto normalise = [&](const Block& block) {
    kernels_.layernorm(block.narrow.y, narrow.y_stride, block.narrow.y, narrow.y_stride, norm, narrow.out,
                       block.narrow.rows);
  };
  if (!splits_rows(rows)) {
    const Block block = block_of(row_scratch_, 0, rows);
    linear_by_panels(block.widen);
    linear_by_panels(block.narrow);
    return normalise(block);
  }
  for_row_blocks(rows, [&](CpuBackend& backend, int64_t begin, int64_t end) {
    const Block block = block_of(backend.row_scratch_, begin, end);
    kernels_.linear(block.widen);
    kernels_.linear(block.narrow);
    normalise(block);
  });
}

void CpuBackend::linear_forward(float* y, int64_t y_stride, const float* x, int64_t x_stride,
                                const PackedLinear& weights, Activation activation, int64_t rows) {
  LinearTask task = packed(weights).task();
  task.x = x;
  task.x_stride = x_stride;
  task.rows = rows;
  task.activation = activation;
  task.y = y;
  task.y_stride = y_stride;
  linear(task);
}

void CpuBackend::layernorm_forward(float* y, int64_t y_stride, const float* x, int64_t x_stride,
                                   const LayerNormWeights& norm, int64_t width, int64_t rows) {
  kernels_.layernorm(y, y_stride, x, x_stride, norm, width, rows);
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
