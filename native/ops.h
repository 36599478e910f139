// The contract between the model and the devices: every operation a backend provides, with shapes.
//
// Dimensions: N rows (real tokens of a packed batch, no padding), B sequences, T tokens of one sequence, E
// embedding, H hidden, A heads, D head size, F inner, V vocabulary, R selected rows, K and M the input and
// output width of a linear. Matrices are row-major fp32. Activations that several rows of a tile read
// together have the padded row stride row_stride(width); other strides are the width. Pointers are memory of
// the backend (`allocate`) except where a comment says host; a matrix may be host memory too, which
// a device then copies around the operation. Each output row depends on its own sequence alone and is
// computed by one fixed chain of operations, so results do not depend on batch neighbours, thread count or
// split.
//
// Training adds a backward to each forward. What forward saves is what backward takes; a null "saved" means
// inference. Gradients are named d*: those of activations overwrite, those of weights accumulate, each as one
// chain over the rows in an order that no thread count changes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace albert {

// How a product multiplies: fp32; bf16 factors with fp32 sums; or int8 weights, one scale a column, times
// int8 rows, one scale and offset a row, with int32 sums. Everything between products stays fp32.
enum class Precision { kFp32, kBf16, kInt8 };

// gelu is the erf form and gelu_new the tanh form, as Hugging Face names them.
enum class Activation { kIdentity, kGelu, kGeluNew, kRelu, kSilu, kTanh };

// 16 extra floats keep rows whose width is a multiple of 4096 bytes out of the same cache set.
constexpr int64_t row_stride(int64_t width) { return (width + 15) / 16 * 16 + 16; }

// A linear layer y = x W^T + b packed for one backend. Opaque above the backend that made it.
class PackedLinear {
 public:
  virtual ~PackedLinear() = default;
  int64_t in = 0;   // K
  int64_t out = 0;  // M
  Precision precision = Precision::kFp32;
  size_t bytes = 0;  // memory it holds
};

// Inputs that a linear layer may keep apart from its int8 product.
constexpr size_t kMaxOutliers = 64;

// Inputs of an int8 layer at most: so many products of 255 and 127 fit the 32 bits of a sum.
constexpr int64_t kMaxInt8Depth = 65536;

// How the weights of a linear layer are kept.
struct LinearFormat {
  Precision precision = Precision::kFp32;
  // int8 only, [in] or empty: how far each input spreads. Inputs are divided by the square root of theirs
  // before they are rounded and the weights multiplied by it, so that a few wide inputs do not cost the
  // others their digits (Xiao et al. 2022, arXiv 2211.10438, with a migration strength of 1/2 on the input's
  // side).
  std::vector<float> spread;
  // int8 only: up to kMaxOutliers inputs, ascending, that stay bf16, as do their weights: one that reaches
  // much further than the others would widen the steps of all (Dettmers et al. 2022, arXiv 2208.07339).
  std::vector<int32_t> outliers;
};

// One block of rows of a linear layer as the checkpoint has it; several stack along the output.
struct LinearSource {
  const float* weight;  // host [out, in]
  const float* bias;    // host [out], or null for zeros
  int64_t out;
};

struct LayerNormWeights {
  const float* weight = nullptr;  // [width]
  const float* bias = nullptr;    // [width]
  float epsilon = 0;
};

struct EmbeddingWeights {
  const float* word = nullptr;      // [V, E]
  const float* position = nullptr;  // [P, E]
  const float* type = nullptr;      // [types, E]
  LayerNormWeights norm;            // over E
  int64_t width = 0;                // E
};

// Where the rows of each sequence stand in a packed batch, and which of them are wanted as queries. Rows
// count from row_begin[0], so some neighbouring sequences of a batch are the same arrays with advanced
// pointers.
struct Segments {
  int64_t count = 0;                   // B
  const int32_t* row_begin = nullptr;  // host [B + 1]
  const int32_t* keys = nullptr;       // host [B] leading rows of the sequence that may be attended to
  // The wanted rows, counted from the first row of their sequence; null: every row is its own query.
  const int32_t* queries = nullptr;      // host [R], indexed by query_begin
  const int32_t* query_begin = nullptr;  // host [B + 1]

  int64_t rows() const { return row_begin[count] - row_begin[0]; }
  int64_t first_row(int64_t s) const { return row_begin[s] - row_begin[0]; }
  int64_t row_count(int64_t s) const { return row_begin[s + 1] - row_begin[s]; }
  int64_t first_query(int64_t s) const { return queries ? query_begin[s] - query_begin[0] : first_row(s); }
  int64_t query_count(int64_t s) const {
    return queries ? query_begin[s + 1] - query_begin[s] : row_count(s);
  }
  int64_t query_rows() const { return first_query(count); }  // R, or N where every row is a query
};

// Queries, keys and values of a packed batch, head by head, so that one head of one sequence is contiguous.
// Elements are fp32 or bf16, as Backend::inference_heads() and Backend::training_heads() say.
struct Heads {
  void* query = nullptr;                   // [A, N, stride]
  void* key = nullptr;                     // [A, N, stride]
  void* value = nullptr;                   // [A, N, stride]
  int64_t heads = 0;                       // A
  int64_t size = 0;                        // D
  int64_t stride = 0;                      // elements between rows: Backend::head_stride(D, precision)
  Precision precision = Precision::kFp32;  // kFp32 or kBf16

  // Floats of memory that each of the three takes for so many rows.
  size_t floats(int64_t rows) const {
    const size_t elements = static_cast<size_t>(heads * rows * stride);
    return precision == Precision::kFp32 ? elements : (elements + 1) / 2;
  }
};

// Inverted dropout: element (row, column) keeps its value times 1 / (1 - probability) when word column % 4 of
// philox(seed, stream, row << 16 | column / 4) is at least probability * 2^32, and is zero otherwise. Forward
// and backward draw the same numbers instead of storing a mask. Each place of each step has its own stream.
struct Dropout {
  float probability = 0;
  uint64_t seed = 0;
  uint64_t stream = 0;
};

// Where the gradient of a LinearSource goes.
struct LinearGradient {
  float* weight;  // [out, in]
  float* bias;    // [out], or null
  int64_t out;
};

struct LayerNormGradient {
  float* weight;  // [width]
  float* bias;    // [width]
};

struct EmbeddingGradient {
  float* word;      // [V, E]
  float* position;  // [P, E]
  float* type;      // [types, E]
};

// How an optimiser turns a gradient g into an update u of its weight w: m = beta1 m + (1 - beta1) s g,
// v = beta2 v + (1 - beta2) (s g)^2, u = m / (sqrt(v) + epsilon) + decay w, with the tensor's decay.
struct MomentRule {
  float beta1, rest1, beta2, rest2;  // rest = 1 - beta, rounded once: 1 - 0.999f is 5e-5 from 0.001
  float epsilon;
  float gradient_scale;  // s: clipping, and the mean over micro-batches
};

// Weights, their gradients and moments: memory of `count` values each, in which a tensor has the same place.
struct OptimizerMemory {
  float *weights, *gradients, *first, *second;
  int64_t count;
};

// A tensor that an optimiser changes: w -= rate u, LAMB's trust ratio of them included where it has one.
struct OptimizedTensor {
  int64_t begin, count;  // values; begins on 64 bytes
  double rate;
  float decay;  // 0 for parameters that are excluded
  bool has_trust_ratio;
};

// Where memory lies: on the device that computes, or where the host reads and writes it.
enum class Place { kDevice, kHost };

// The sizes a backend must be ready for; its scratch memory is allocated once from them.
struct BackendLimits {
  Precision precision = Precision::kFp32;  // of the encoder's products
  int64_t max_width = 0;                   // the widest of E, H and F
  int64_t max_length = 0;                  // T
  int64_t head_size = 0;                   // D
  bool training = false;                   // backward operations will be called
  int64_t max_depth = 0;                   // of a product, where it is deeper: V, of the gradient of logits
};

// What one pass of a shard through the encoder reads from the host.
struct PassInputs {
  const int32_t *ids, *types, *positions;  // host [N]
  int64_t rows = 0;                        // N
  Segments all, wanted;                    // every row a query, and the queries of the last block
};

// How a batch is divided between the workers of a backend.
struct ShardPlan {
  int64_t workers = 1;         // 1: the body runs shard by shard, with operations that use all threads
  int64_t max_rows = 0;        // of one shard
  std::vector<int32_t> begin;  // [shards + 1] sequences
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual const char* device() const = 0;  // 'cpu', 'cuda', or 'cuda:1' and so on
  virtual const char* isa() const = 0;     // 'avx512', ..., or the name of the GPU's architecture
  virtual int threads() const = 0;
  // Rows that keep all of it busy: more in one pass only make whoever comes next wait longer.
  virtual int64_t batch_rows() const = 0;

  // ---- memory
  // 64-byte aligned, uninitialised; throws Error{kOutOfMemory}
  virtual float* allocate(size_t floats, Place place = Place::kDevice) = 0;
  virtual void release(float* memory) = 0;
  // Whether kDevice is memory of the host too, as on a CPU.
  virtual bool computes_on_host() const = 0;
  virtual void upload(float* memory, const float* host, size_t floats) = 0;
  virtual void download(float* host, const float* memory, size_t floats) = 0;
  virtual void clear(float* memory, size_t floats) = 0;  // zeros
  virtual std::unique_ptr<PackedLinear> pack(const std::vector<LinearSource>& sources, int64_t in,
                                             const LinearFormat& format) = 0;
  // The same layer backwards, x = y W: its input is the sources' stacked output and its output their input,
  // without a bias.
  virtual std::unique_ptr<PackedLinear> pack_transposed(const std::vector<LinearSource>& sources, int64_t in,
                                                        Precision precision) = 0;
  // Fills a packed layer again after the values of its sources changed; their shapes are those it was packed
  // from. Not for int8.
  virtual void repack(PackedLinear& weights, const std::vector<LinearSource>& sources) = 0;
  virtual int64_t head_stride(int64_t head_size, Precision precision) const = 0;
  // Of heads in inference whose products have a precision.
  virtual Precision inference_heads(Precision products) const {
    return products == Precision::kFp32 ? Precision::kFp32 : Precision::kBf16;
  }
  // Of heads in training whose products have a precision.
  virtual Precision training_heads(Precision products, int64_t head_size) const {
    (void)products, (void)head_size;
    return Precision::kFp32;
  }
  virtual void reserve(const BackendLimits& limits) = 0;

  // ---- scheduling
  // Whole sequences for each worker where that balances, one shard where splitting every operation is better.
  virtual ShardPlan plan(const Segments& segments) const = 0;
  // Calls body(backend, worker, shard) for every shard of the plan, workers in parallel, and returns when all
  // ended. `backend` computes on that worker alone. The first exception thrown by a body is rethrown here.
  using ShardBody = std::function<void(Backend& backend, int64_t worker, int64_t shard)>;
  virtual void run(const ShardPlan& plan, const ShardBody& body) = 0;

  // Calls pass(), which computes from `inputs` and says whether it came to its end. What the pass calls, and
  // on which memory, depends on the sizes in `inputs` and on the addresses in `memory` alone, so that a
  // device may record it and replay the record the next time.
  virtual void run_pass(const PassInputs& inputs, const std::vector<const void*>& memory,
                        const std::function<bool()>& pass) {
    (void)inputs, (void)memory;
    pass();
  }

  // ---- operations
  // y = LayerNorm(word[id] + type[type] + position[position])
  virtual void embedding_forward(float* y,    // [N, row_stride(E)]
                                 float* sum,  // null, or [N, row_stride(E)]: saved, what LayerNorm was given
                                 const int32_t* ids, const int32_t* types,
                                 const int32_t* positions,  // host [N]
                                 const EmbeddingWeights& weights, int64_t rows) = 0;
  virtual void embedding_backward(const EmbeddingGradient& gradient,
                                  const float* dsum,  // [N, row_stride(E)]
                                  const int32_t* ids, const int32_t* types,
                                  const int32_t* positions,  // host [N]
                                  int64_t width, int64_t rows) = 0;

  // Rows of x W^T + b, W the stacked query, key and value weights [3H, K], stored head by head.
  virtual void qkv_forward(const Heads& heads, const float* x, const PackedLinear& weights, int64_t rows) = 0;

  // context = softmax(Q K^T / sqrt(D)) V within each sequence, heads side by side. Without probabilities,
  // that of bf16 heads in a device's memory is for products and gather_rows alone, and in whatever form.
  virtual void attention_forward(
      float* context,        // [R, row_stride(H)]
      float* probabilities,  // null, or one [A, queries, keys] after another by sequence
      const Heads& heads, const Segments& segments,
      const Dropout& dropout) = 0;  // of probabilities: row head * N + query's row, column key
  // Every row its own query. What it writes is for products of the encoder's precision, as the context is.
  virtual void attention_backward(float* dqkv,            // [N, row_stride(3H)]: query, key and value
                                  const float* dcontext,  // [N, row_stride(H)]
                                  const Heads& heads, const Segments& segments, const Dropout& dropout) = 0;

  // x = LayerNorm(x + input W^T + b)
  virtual void linear_residual_layernorm_forward(float* x,            // [N, row_stride(H)], read and written
                                                 const float* input,  // [N, row_stride(K)]
                                                 const PackedLinear& weights, const LayerNormWeights& norm,
                                                 int64_t rows) = 0;

  // x = LayerNorm(x + context W^T + b), the context that of attention_forward. Nothing else reads it, so that
  // it may have whatever form in its memory.
  virtual void attention_linear_residual_layernorm_forward(
      float* x,              // [R, row_stride(H)], read and written
      float* context,        // [R, row_stride(H)], written
      float* probabilities,  // as those of attention_forward
      const Heads& heads, const Segments& segments, const PackedLinear& weights,
      const LayerNormWeights& norm) {
    attention_forward(context, probabilities, heads, segments, {});
    linear_residual_layernorm_forward(x, context, weights, norm, segments.query_rows());
  }

  // x = LayerNorm(x + activation(x U^T + b) W^T + c)
  virtual void feed_forward_forward(float* x,  // [N, row_stride(H)], read and written
                                    const PackedLinear& up, Activation activation, const PackedLinear& down,
                                    const LayerNormWeights& norm, int64_t rows) = 0;

  // y = activation(x W^T + b)
  virtual void linear_forward(float* y, int64_t y_stride, const float* x, int64_t x_stride,
                              const PackedLinear& weights, Activation activation, int64_t rows) = 0;
  // dx = dy W, added to dx where `accumulate` says so; `transposed` comes from pack_transposed.
  virtual void linear_backward_input(float* dx, int64_t dx_stride, const float* dy, int64_t dy_stride,
                                     const PackedLinear& transposed, bool accumulate, int64_t rows) = 0;
  // dW += dy^T x, db += column sums of dy, for layers stacked along the columns of dy.
  virtual void linear_backward_weights(const std::vector<LinearGradient>& gradients, const float* dy,
                                       int64_t dy_stride, const float* x, int64_t x_stride, int64_t in,
                                       Precision precision, int64_t rows) = 0;

  // y = activation(x), rows of row_stride(width); y may be x.
  virtual void activation_forward(float* y, const float* x, Activation activation, int64_t width,
                                  int64_t rows) = 0;
  // dx = dy activation'(x), and y = activation(x) again, for the weights behind it. dx may be dy, y may be x.
  virtual void activation_backward(float* dx, float* y, const float* dy, const float* x,
                                   Activation activation, int64_t width, int64_t rows) = 0;

  // y = activation(sum), sum = x W^T + b saved. Nothing but products of the weights' precision reads y, and
  // nothing but linear_activation_backward reads sum, so that a device may leave both in whatever form in its
  // memory; likewise what that one writes. Rows have padded strides; matrices lie on one side.
  virtual void linear_activation_forward(float* y, float* sum, const float* x, const PackedLinear& weights,
                                         Activation activation, int64_t rows) {
    const int64_t stride = row_stride(weights.out);
    linear_forward(sum, stride, x, row_stride(weights.in), weights, Activation::kIdentity, rows);
    activation_forward(y, sum, activation, weights.out, rows);
  }
  // dx = (dy W) activation'(x) for the W behind the activation, and y = activation(x) again. x is what
  // forward saved as sum; `transposed` comes from pack_transposed.
  virtual void linear_activation_backward(float* dx, float* y, const float* dy,
                                          const PackedLinear& transposed, const float* x,
                                          Activation activation, int64_t rows) {
    linear_backward_input(dx, row_stride(transposed.out), dy, row_stride(transposed.in), transposed, false,
                          rows);
    activation_backward(dx, y, dx, x, activation, transposed.out, rows);
  }

  virtual void layernorm_forward(float* y, int64_t y_stride, const float* x, int64_t x_stride,
                                 const LayerNormWeights& norm, int64_t width, int64_t rows) = 0;
  // x is what forward was given. Rows of row_stride(width); dx may be dy.
  virtual void layernorm_backward(float* dx, const LayerNormGradient& gradient, const float* dy,
                                  const float* x, const LayerNormWeights& norm, int64_t width,
                                  int64_t rows) = 0;
  // sum = x + dropout(sum), y = LayerNorm(sum). Rows of row_stride(width).
  virtual void residual_layernorm_forward(float* y, float* sum, const float* x, const LayerNormWeights& norm,
                                          const Dropout& dropout, int64_t width, int64_t rows) = 0;
  // y = dropout(x), its own backward. Rows of row_stride(width); y may be x.
  virtual void dropout_forward(float* y, const float* x, const Dropout& dropout, int64_t width,
                               int64_t rows) = 0;

  // losses[r] = -log softmax(logits[r])[labels[r]], hits[r] whether that logit is the largest, and logits
  // become their gradient, times scales[r].
  virtual void cross_entropy_forward_backward(float* losses,          // host [R]
                                              uint8_t* hits,          // host [R]
                                              float* logits,          // [R, width]
                                              const int32_t* labels,  // host [R]
                                              const float* scales,    // host [R]
                                              int64_t width, int64_t rows) = 0;

  // y[r] = x[rows[r]]; rows null: the first `count` rows.
  virtual void gather_rows(float* y, int64_t y_stride, const float* x, int64_t x_stride,
                           const int32_t* rows,  // host
                           int64_t width, int64_t count) = 0;
  // y[r] = x[row of query r], rows of row_stride(width).
  virtual void gather_queries(float* y, const float* x, const Segments& segments, int64_t width) = 0;
  // x[rows[r]] += y[r], what gather_rows does to gradients; the rows differ.
  virtual void scatter_add_rows(float* x, int64_t x_stride, const float* y, int64_t y_stride,
                                const int32_t* rows,  // host
                                int64_t width, int64_t count) = 0;

  // ---- optimisation
  virtual double squared_norm(const float* x, int64_t count) = 0;
  // One step of the given tensors. Their gradients are used up.
  virtual void optimizer_step(const OptimizerMemory& memory, const MomentRule& rule,
                              const std::vector<OptimizedTensor>& tensors) = 0;
};

struct CpuInfo {
  std::string isa;                     // what a backend made now would use
  std::vector<std::string> available;  // best first
  int cores = 0;                       // of the machine
  int threads = 0;                     // this process may use: affinity and cgroup quota
};
// Throws Error{kDevice} when ALBERT_CPU_ISA names an instruction set this machine or build lacks.
CpuInfo cpu_info();

// What this machine can do at most: the yardstick of benchmarks. Multiply and add count as two operations.
struct CpuPeak {
  double fp32 = 0;            // operations per second of fused multiply-adds
  double bf16 = 0;            // likewise of dot products of bf16 pairs; 0 without such an instruction
  double int8 = 0;            // likewise of dot products of u8 by s8 quads; 0 without vector instructions
  double read_bandwidth = 0;  // bytes per second from memory, beyond every cache
};
// Keeps `threads` cores busy for about two seconds; for benchmarks only. isa: empty for everything the
// processor has, or 'avx2' for what it does without AVX-512. brief: what it does at this moment, in half a
// second and without the bandwidth.
CpuPeak measure_cpu_peak(int threads, const std::string& isa, bool brief);

// isa: empty for the best, or one of cpu_info().available. threads: 0 for cpu_info().threads.
std::unique_ptr<Backend> make_cpu_backend(const std::string& isa, int threads);

struct CudaDevice {
  std::string name;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  size_t memory_bytes = 0;
};
// The GPUs of this machine, in the order of CUDA_VISIBLE_DEVICES. Throws Error{kDevice} that says why there
// is none: no driver, no device, or a build without CUDA.
std::vector<CudaDevice> cuda_devices();
// Throws Error{kDevice} likewise, and for a GPU older than compute capability 8.0.
std::unique_ptr<Backend> make_cuda_backend(int device);

}  // namespace albert
