// The CUDA backend: one stream, weights and activations in the GPU's memory, each operation a few launches.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cuda/memory.h"
#include "cuda/passes.h"
#include "cuda/tiles.cuh"
#include "ops.h"

namespace albert::cuda {

// The weights [out, in] as rows of fp32, or as tiles of bf16.
class CudaPackedLinear final : public PackedLinear {
 public:
  CudaPackedLinear(const std::vector<LinearSource>& sources, int64_t width, Precision precision,
                   bool transposed, DeviceMemory& memory);
  ~CudaPackedLinear() override;

  bool transposed = false;
  float* rows = nullptr;
  Tiles tiles;
  float* bias = nullptr;  // [out, rounded up to a tile], zeros where there is none

 private:
  // Others delegate to it, so that the destructor gives back what they took before they threw.
  explicit CudaPackedLinear(DeviceMemory& memory) : memory_(memory) {}

  DeviceMemory& memory_;
};

// ---- what operations share, on the device

// Rows to add up: fp32, and a second matrix of rounded ones where there is one. Both on 16 bytes.
struct SummedRows {
  const float* values;
  int64_t stride;
  Tiles rounded;
};
// Rows that LayerNorm writes, and their rounded values where they are wanted.
struct NormalisedRows {
  float* values;
  int64_t stride;
  Tiles rounded;
};
// y = LayerNorm(x); y.values may be x.values.
void normalise(const NormalisedRows& y, const SummedRows& x, const LayerNormWeights& norm, int64_t width,
               int64_t rows, Operation& operation);
LayerNormWeights on_device(const LayerNormWeights& norm, int64_t width, Operation& operation);
// y = activation(y)
void activate(float* y, int64_t y_stride, Activation activation, int64_t width, int64_t rows,
              Operation& operation);
// sums[c] += x[0][c] + x[1][c] + ..., in an order that the number of rows fixes.
void add_column_sums(float* sums, const float* x, int64_t x_stride, int64_t width, int64_t rows,
                     Operation& operation);
void add_column_sums(float* sums, const Tiles& x, int64_t width, int64_t rows, Operation& operation);
// sums[c] += parts[0][c] + parts[1][c] + ...
void add_parts(float* sums, const float* parts, int64_t part_stride, int64_t width, int64_t count,
               Operation& operation);

// y[c][r] = x[r][c], and zeros behind the last row up to y_columns
void transpose(float* y, int64_t y_stride, const float* x, int64_t x_stride, int64_t columns, int64_t rows,
               int64_t y_columns, cudaStream_t stream);
// What a layer multiplies with, on the device.
const float* factor_of(const CudaPackedLinear& linear, const float* x, int64_t x_stride, int64_t rows,
                       Operation& operation);

struct TileProduct;

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(int device);
  ~CudaBackend() override;

  const char* device() const override { return name_.c_str(); }
  const char* isa() const override { return gpu_.architecture.c_str(); }
  int threads() const override { return 1; }
  int64_t batch_rows() const override { return 16384; }  // some milliseconds of a large GPU

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
  Precision training_heads(Precision products, int64_t head_size) const override;
  void reserve(const BackendLimits& limits) override;

  ShardPlan plan(const Segments& segments) const override;
  void run(const ShardPlan& plan, const ShardBody& body) override;
  void run_pass(const PassInputs& inputs, const std::vector<const void*>& memory,
                const std::function<bool()>& pass) override;

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
  void linear_activation_forward(float* y, float* sum, const float* x, const PackedLinear& weights,
                                 Activation activation, int64_t rows) override;
  void linear_activation_backward(float* dx, float* y, const float* dy, const PackedLinear& transposed,
                                  const float* x, Activation activation, int64_t rows) override;
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
  void gather_queries(float* y, const float* x, const Segments& segments, int64_t width) override;
  void gather_rows(float* y, int64_t y_stride, const float* x, int64_t x_stride, const int32_t* rows,
                   int64_t width, int64_t count) override;
  void scatter_add_rows(float* x, int64_t x_stride, const float* y, int64_t y_stride, const int32_t* rows,
                        int64_t width, int64_t count) override;
  double squared_norm(const float* x, int64_t count) override;
  void optimizer_step(const OptimizerMemory& memory, const MomentRule& rule,
                      const std::vector<OptimizedTensor>& tensors) override;

 private:
  const DeviceSegments& segments_on_device(const Segments& segments, Operation& operation);
  // x [rows, width] as a factor of bf16 products: what is kept, or rounded now.
  Tiles rounded(const float* x, int64_t x_stride, int64_t width, int64_t rows, Operation& operation);
  // The same of x [rows, row_stride(width)], on either side.
  Tiles factor_tiles(const float* x, int64_t width, int64_t rows, Operation& operation);
  // Where the rounded values of x [rows, width] are kept; nowhere unless products are bf16.
  Tiles keep_rounded(const float* x, int64_t width, int64_t rows);
  template <typename Store>
  void multiply_by(const PackedLinear& weights, const float* x, int64_t x_stride, int64_t rows,
                   const Store& store, Operation& operation);
  void add_and_normalise(float* x, const Tiles& factor, const CudaPackedLinear& linear,
                         const LayerNormWeights& norm, int64_t rows, Operation& operation);
  void add_and_normalise(float* x, const float* factor, int64_t factor_stride, const CudaPackedLinear& linear,
                         const LayerNormWeights& norm, int64_t rows, Operation& operation);

  std::string name_;
  Gpu gpu_;
  DeviceMemory memory_;
  Precision precision_ = Precision::kFp32;  // of the encoder's products

  // Of the last attention: what its segments were, and where they lie.
  std::vector<int32_t> segments_key_;
  DeviceSegments segments_;
  int32_t* segments_memory_ = nullptr;
  size_t segments_capacity_ = 0;  // 32-bit values

  PlacedInputs inputs_{memory_};
  RecordedPasses passes_{memory_};
};

}  // namespace albert::cuda
