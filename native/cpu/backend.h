// The CPU backend: divides rows, panels or sequences between threads and calls the kernel table on each part.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/memory.h"
#include "cpu/packed_linear.h"
#include "cpu/thread_pool.h"
#include "ops.h"

namespace albert::cpu {

// Rows a thread works on at a time, while every panel of weights passes by. Bytes of int8 weights are few,
// and so may be its rows (docs/cpu-kernels.md).
constexpr int64_t row_block(Precision precision) { return precision == Precision::kInt8 ? 64 : 128; }
// A shard has at least one of these numbers of rows: that which lets the busiest thread end first.
constexpr int64_t kShardRows[] = {64, 96, 128, 160, 192, 224, 256};
// What a block of rows costs beside its rows, in rows: the weights that pass by. Measured
// (docs/cpu-kernels.md).
constexpr double kRowsOfBlock = 4;
// What whole operations cost, whose blocks of rows all threads draw from, beside shards that balance
// perfectly: activations of all rows, which leave L2, and threads that wait for each other. Measured
// likewise.
constexpr double shared_cost(Precision precision) { return precision == Precision::kInt8 ? 1.035 : 1.01; }
// Below this many rows a thread, the threads share each product; above, each takes rows through a whole
// operation and meets the others at its end.
constexpr int64_t kRowsPerThread = 32;
// Rows that a shared product must be ready for.
constexpr int64_t kMaxSharedRows = 256;
// Rows of a batch for each thread: a few shards, so that threads that draw them end together. Of many threads
// each has fewer, as activations of all rows may be in memory at once.
constexpr int64_t kBatchRowsPerThread = 1024, kMaxBatchRows = 16384;

inline int64_t divide_up(int64_t value, int64_t divisor) { return (value + divisor - 1) / divisor; }
inline int64_t round_up(int64_t value, int64_t multiple) { return divide_up(value, multiple) * multiple; }

// Rows of fp32 or bf16 values.
struct Matrix {
  // The rows from `row` on.
  Matrix from(int64_t row) const {
    const size_t element = is_bf16 ? sizeof(Bf16) : sizeof(float);
    return {static_cast<const char*>(values) + static_cast<size_t>(row * stride) * element, is_bf16, stride,
            spare_rows};
  }

  const void* values;
  bool is_bf16;
  int64_t stride;
  bool spare_rows = false;  // rows up to the next multiple of a tile's may be read
};

// The part of a task that computes its rows [begin, end).
LinearTask rows_of(const LinearTask& task, int64_t begin, int64_t end);

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
    for (float* memory : {operand_, row_scale_, outliers_, inner_, attention_scratch_, gradient_panels_,
                          gradient_rows_, partial_sums_, zeros_})
      release_floats(memory);
  }

  const char* device() const override { return "cpu"; }
  const char* isa() const override { return kernels_.name; }
  int threads() const override { return pool_ ? pool_->size() : 1; }
  int64_t batch_rows() const override { return std::min(kMaxBatchRows, kBatchRowsPerThread * threads()); }

  float* allocate(size_t floats, Place) override { return allocate_floats(floats); }
  void release(float* memory) override { release_floats(memory); }
  bool computes_on_host() const override { return true; }
  void upload(float* memory, const float* host, size_t floats) override {
    std::memcpy(memory, host, floats * sizeof(float));
  }
  void download(float* host, const float* memory, size_t floats) override {
    std::memcpy(host, memory, floats * sizeof(float));
  }
  void clear(float* memory, size_t floats) override { std::fill_n(memory, floats, 0.0f); }
  std::unique_ptr<PackedLinear> pack(const std::vector<LinearSource>& sources, int64_t in,
                                     const LinearFormat& format) override;
  std::unique_ptr<PackedLinear> pack_transposed(const std::vector<LinearSource>& sources, int64_t in,
                                                Precision precision) override;
  void repack(PackedLinear& weights, const std::vector<LinearSource>& sources) override;
  int64_t head_stride(int64_t head_size, Precision precision) const override {
    return round_up(head_size, kernels_.vector_width * values_per_lane(precision));
  }
  Precision inference_heads(Precision products) const override {
    return products == Precision::kFp32 || !kernels_.multiplies_bf16() ? Precision::kFp32 : Precision::kBf16;
  }
  void reserve(const BackendLimits& limits) override;

  ShardPlan plan(const Segments& segments) const override;
  void run(const ShardPlan& plan, const ShardBody& body) override;

  void embedding_forward(float* y, float* sum, const int32_t* ids, const int32_t* types,
                         const int32_t* positions, const EmbeddingWeights& weights, int64_t rows) override;
  void qkv_forward(const Heads& heads, const float* x, const PackedLinear& weights, int64_t rows) override;
  void attention_forward(float* context, float* probabilities, const Heads& heads, const Segments& segments,
                         const Dropout& dropout) override;
  void linear_residual_layernorm_forward(float* x, const float* input, const PackedLinear& weights,
                                         const LayerNormWeights& norm, int64_t rows) override;
  void attention_linear_residual_layernorm_forward(float* x, float* context, float* probabilities,
                                                   const Heads& heads, const Segments& segments,
                                                   const PackedLinear& weights,
                                                   const LayerNormWeights& norm) override;
  void feed_forward_forward(float* x, const PackedLinear& up, Activation activation, const PackedLinear& down,
                            const LayerNormWeights& norm, int64_t rows) override;
  void linear_forward(float* y, int64_t y_stride, const float* x, int64_t x_stride,
                      const PackedLinear& weights, Activation activation, int64_t rows) override;
  void layernorm_forward(float* y, int64_t y_stride, const float* x, int64_t x_stride,
                         const LayerNormWeights& norm, int64_t width, int64_t rows) override;
  void gather_queries(float* y, const float* x, const Segments& segments, int64_t width) override;
  void gather_rows(float* y, int64_t y_stride, const float* x, int64_t x_stride, const int32_t* rows,
                   int64_t width, int64_t count) override;
  void scatter_add_rows(float* x, int64_t x_stride, const float* y, int64_t y_stride, const int32_t* rows,
                        int64_t width, int64_t count) override;

  void embedding_backward(const EmbeddingGradient& gradient, const float* dsum, const int32_t* ids,
                          const int32_t* types, const int32_t* positions, int64_t width,
                          int64_t rows) override;
  void attention_backward(float* dqkv, const float* dcontext, const Heads& heads, const Segments& segments,
                          const Dropout& dropout) override;
  void linear_backward_input(float* dx, int64_t dx_stride, const float* dy, int64_t dy_stride,
                             const PackedLinear& transposed, bool accumulate, int64_t rows) override;
  void linear_backward_weights(const std::vector<LinearGradient>& gradients, const float* dy,
                               int64_t dy_stride, const float* x, int64_t x_stride, int64_t in,
                               Precision precision, int64_t rows) override;
  void activation_forward(float* y, const float* x, Activation activation, int64_t width,
                          int64_t rows) override;
  void activation_backward(float* dx, float* y, const float* dy, const float* x, Activation activation,
                           int64_t width, int64_t rows) override;
  void layernorm_backward(float* dx, const LayerNormGradient& gradient, const float* dy, const float* x,
                          const LayerNormWeights& norm, int64_t width, int64_t rows) override;
  void residual_layernorm_forward(float* y, float* sum, const float* x, const LayerNormWeights& norm,
                                  const Dropout& dropout, int64_t width, int64_t rows) override;
  void dropout_forward(float* y, const float* x, const Dropout& dropout, int64_t width,
                       int64_t rows) override;
  void cross_entropy_forward_backward(float* losses, uint8_t* hits, float* logits, const int32_t* labels,
                                      const float* scales, int64_t width, int64_t rows) override;
  double squared_norm(const float* x, int64_t count) override;
  void optimizer_step(const OptimizerMemory& memory, const MomentRule& rule,
                      const std::vector<OptimizedTensor>& tensors) override;

 private:
  void reserve_training(const BackendLimits& limits);
  ShardPlan shards_of(const Segments& segments, int64_t least_rows) const;
  double cost_of(int64_t rows) const;
  double cost_of(const ShardPlan& plan, const Segments& segments) const;
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

  // A product of all panels with rows of x, converted into this backend's scratch where its precision asks.
  LinearTask product(const PackedLinear& weights, const Matrix& x, int64_t rows);
  void run(const LinearTask& task, Precision precision);
  // attention_forward and linear_residual_layernorm_forward, for a context of fp32 or bf16 values in rows of
  // row_stride(H) values.
  void attend(void* context, bool context_is_bf16, float* probabilities, const Heads& heads,
              const Segments& segments, const Dropout& dropout);
  void add_product(float* x, const Matrix& input, const PackedLinear& weights, const LayerNormWeights& norm,
                   int64_t rows);
  void normalise(float* x, const LayerNormWeights& norm, int64_t width, int64_t rows);

  const Kernels& kernels_;
  std::unique_ptr<ThreadPool> pool_;
  std::vector<std::unique_ptr<CpuBackend>> workers_;
  float* operand_ = nullptr;    // Lane [rows][lanes of the widest input + padding]; bf16 and int8
  float* row_scale_ = nullptr;  // [2][rows] scales, then offsets; int8
  float* outliers_ = nullptr;   // Lane [rows][lanes of kMaxOutliers]; int8
  int64_t scratch_rows_ = 0;
  Precision precision_ = Precision::kFp32;  // of products, as reserve() was told
  float* inner_ = nullptr;  // [rows][row_stride(F)] of the feed-forward block, bf16 for bf16 and int8
  float* attention_scratch_ = nullptr;

  // Training: a chunk of rows as the operands of a weight gradient.
  float* gradient_panels_ = nullptr;  // X
  float* gradient_rows_ = nullptr;    // dY^T
  float* partial_sums_ = nullptr;     // [blocks of rows][2][width], before they are added up in order
  float* zeros_ = nullptr;            // a bias for gradients
  int64_t gradient_columns_ = 0;      // of dY that gradient_rows_ holds at a time
  int64_t max_width_ = 0;
};

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
  const int64_t step = kernels_.row_step, largest = row_block(precision) / step * step;
  const int64_t steps = divide_up(rows, step);
  const int64_t blocks = std::min(steps, divide_up(rows, largest * threads()) * threads());
  for_items(blocks, [&](CpuBackend& backend, int64_t item) {
    body(backend, steps * item / blocks * step, std::min(rows, steps * (item + 1) / blocks * step));
  });
}

}  // namespace albert::cpu
