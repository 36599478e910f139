// The CUDA backend: one stream, weights and activations in the GPU's memory, each operation a few launches.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cuda/memory.h"
#include "ops.h"

namespace albert::cuda {

// Rows [out, depth] of fp32 or bf16; depth is K, or K rounded up with zeros for bf16.
class CudaPackedLinear final : public PackedLinear {
 public:
  CudaPackedLinear(const std::vector<LinearSource>& sources, int64_t width, Precision precision,
                   bool transposed, DeviceMemory& memory);
  ~CudaPackedLinear() override;

  int64_t depth = 0;
  bool transposed = false;
  void* weight = nullptr;
  float* bias = nullptr;  // [out], zeros where there is none

 private:
  DeviceMemory& memory_;
};

// Where attention finds the rows of its sequences, on the device.
struct DeviceSegments {
  const int32_t* first_row = nullptr;          // [B]
  const int32_t* keys = nullptr;               // [B]
  const int32_t* rows = nullptr;               // [B] of the sequence
  const int32_t* sequence_of = nullptr;        // [R] of a query
  const int32_t* query_row = nullptr;          // [R] row of a query, among all rows
  const int32_t* first_query = nullptr;        // [B + 1]
  const int32_t* tile_sequence = nullptr;      // [tiles] sequence of a tile of kQueryTile queries
  const int32_t* tile_begin = nullptr;         // [tiles] its first query within the sequence
  const int64_t* probability_begin = nullptr;  // [B] where its probabilities begin
  int64_t total_rows = 0, total_queries = 0, probabilities = 0;
  int tiles = 0, most_keys = 0, most_rows = 0;
};
constexpr int kQueryTile = 64;

// y = LayerNorm(x), rows of device memory; y may be x.
void normalise(float* y, int64_t y_stride, const float* x, int64_t x_stride, const LayerNormWeights& norm,
               int64_t width, int64_t rows, Operation& operation);
// sums[c] += x[0][c] + x[1][c] + ..., on the device, in an order that the number of rows fixes.
void add_column_sums(float* sums, const float* x, int64_t x_stride, int64_t width, int64_t rows,
                     Operation& operation);

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(int device);
  ~CudaBackend() override;

  const char* device() const override { return name_.c_str(); }
  const char* isa() const override { return isa_.c_str(); }
  int threads() const override { return 1; }

  float* allocate(size_t floats, Place place) override;
  void release(float* memory) override;
  bool computes_on_host() const override { return false; }
  void upload(float* memory, const float* host, size_t floats) override;
  void download(float* host, const float* memory, size_t floats) override;
  void clear(float* memory, size_t floats) override;
  std::unique_ptr<PackedLinear> pack(const std::vector<LinearSource>& sources, int64_t in,
                                     const LinearFormat& format) override;
  std::unique_ptr<PackedLinear> pack_transposed(const std::vector<LinearSource>& sources, int64_t in,
                                                Precision precision) override;
  void repack(PackedLinear& weights, const std::vector<LinearSource>& sources) override;
  int64_t head_stride(int64_t head_size, Precision precision) const override;
  void reserve(const BackendLimits& limits) override;

  ShardPlan plan(const Segments& segments) const override;
  void run(const ShardPlan& plan, const ShardBody& body) override;

  void embedding_forward(float* y, float* sum, const int32_t* ids, const int32_t* types,
                         const int32_t* positions, const EmbeddingWeights& weights, int64_t rows) override;
  void embedding_backward(const EmbeddingGradient& gradient, const float* dsum, const int32_t* ids,
                          const int32_t* types, const int32_t* positions, int64_t width,
                          int64_t rows) override;
  void qkv_forward(const Heads& heads, const float* x, const PackedLinear& weights, int64_t rows) override;
  void attention_forward(float* context, float* probabilities, const Heads& heads, const Segments& segments,
                         const Dropout& dropout) override;
  void attention_backward(float* dqkv, const float* dcontext, const Heads& heads, const Segments& segments,
                          const Dropout& dropout) override;
  void linear_residual_layernorm_forward(float* x, const float* input, const PackedLinear& weights,
                                         const LayerNormWeights& norm, int64_t rows) override;
  void feed_forward_forward(float* x, const PackedLinear& up, Activation activation, const PackedLinear& down,
                            const LayerNormWeights& norm, int64_t rows) override;
  void linear_forward(float* y, int64_t y_stride, const float* x, int64_t x_stride,
                      const PackedLinear& weights, Activation activation, int64_t rows) override;
  void linear_backward_input(float* dx, int64_t dx_stride, const float* dy, int64_t dy_stride,
                             const PackedLinear& transposed, bool accumulate, int64_t rows) override;
  void linear_backward_weights(const std::vector<LinearGradient>& gradients, const float* dy,
                               int64_t dy_stride, const float* x, int64_t x_stride, int64_t in,
                               Precision precision, int64_t rows) override;
  void activation_forward(float* y, const float* x, Activation activation, int64_t width,
                          int64_t rows) override;
  void activation_backward(float* dx, float* y, const float* dy, const float* x, Activation activation,
                           int64_t width, int64_t rows) override;
  void layernorm_forward(float* y, int64_t y_stride, const float* x, int64_t x_stride,
                         const LayerNormWeights& norm, int64_t width, int64_t rows) override;
  void layernorm_backward(float* dx, const LayerNormGradient& gradient, const float* dy, const float* x,
                          const LayerNormWeights& norm, int64_t width, int64_t rows) override;
  void residual_layernorm_forward(float* y, float* sum, const float* x, const LayerNormWeights& norm,
                                  const Dropout& dropout, int64_t width, int64_t rows) override;
  void dropout_forward(float* y, const float* x, const Dropout& dropout, int64_t width,
                       int64_t rows) override;
  void cross_entropy_forward_backward(float* losses, uint8_t* hits, float* logits, const int32_t* labels,
                                      const float* scales, int64_t width, int64_t rows) override;
  void gather_rows(float* y, int64_t y_stride, const float* x, int64_t x_stride, const int32_t* rows,
                   int64_t width, int64_t count) override;
  void scatter_add_rows(float* x, int64_t x_stride, const float* y, int64_t y_stride, const int32_t* rows,
                        int64_t width, int64_t count) override;
  Norms moments_update(float* gradient, float* first, float* second, const float* weight,
                       const MomentRule& rule, int64_t count) override;
  void descend(float* weight, const float* update, float rate, int64_t count) override;
  double squared_norm(const float* x, int64_t count) override;

 private:
  const DeviceSegments& upload_segments(const Segments& segments, int64_t heads, Operation& operation);
  // A block of `bf16` rows, `depth` wide, for a product whose weights are bf16.
  const void* operand(const float* x, int64_t x_stride, int64_t width, const PackedLinear& weights,
                      int64_t rows, Operation& operation);

  std::string name_, isa_;
  DeviceMemory memory_;
  Precision precision_ = Precision::kFp32;  // of the encoder's products

  // Of the last attention: what its segments were, and where they lie.
  std::vector<int32_t> segments_key_;
  DeviceSegments segments_;
  void* segments_memory_ = nullptr;
  size_t segments_capacity_ = 0;  // 32-bit values
};

}  // namespace albert::cuda
