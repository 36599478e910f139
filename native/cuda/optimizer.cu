// Moments of Adam, norms of tensors and the step, a block for each chunk of a tensor.
#include "cuda/backend.h"
#include "cuda/common.cuh"

namespace albert::cuda {
namespace {

constexpr int64_t kChunk = 16384;

struct Chunk {
  int64_t begin, end;
};
__device__ inline Chunk chunk_of(int64_t count) {
  const int64_t begin = int64_t{blockIdx.x} * kChunk;
  return {begin, begin + kChunk < count ? begin + kChunk : count};
}

__global__ void __launch_bounds__(kReduceThreads)
    moments_kernel(float* gradient, float* first, float* second, const float* weight, MomentRule rule,
                   double* squares, int64_t count) {
  const Chunk chunk = chunk_of(count);
  double weights = 0, updates = 0;
  for (int64_t i = chunk.begin + threadIdx.x; i < chunk.end; i += kReduceThreads) {
    const float g = rule.gradient_scale * gradient[i];
    const float m = rule.beta1 * first[i] + (1 - rule.beta1) * g;
    const float v = rule.beta2 * second[i] + (1 - rule.beta2) * g * g;
    const float update = m / (sqrtf(v) + rule.epsilon) + rule.decay * weight[i];
    first[i] = m;
    second[i] = v;
    gradient[i] = update;
    weights += static_cast<double>(weight[i]) * weight[i];
    updates += static_cast<double>(update) * update;
  }
  weights = block_sum(weights);
  updates = block_sum(updates);
  if (threadIdx.x == 0) squares[2 * blockIdx.x] = weights, squares[2 * blockIdx.x + 1] = updates;
}

__global__ void __launch_bounds__(kReduceThreads)
    descend_kernel(float* weight, const float* update, float rate, int64_t count) {
  const Chunk chunk = chunk_of(count);
  for (int64_t i = chunk.begin + threadIdx.x; i < chunk.end; i += kReduceThreads)
    weight[i] -= rate * update[i];
}

__global__ void __launch_bounds__(kReduceThreads)
    squared_norm_kernel(double* squares, const float* x, int64_t count) {
  const Chunk chunk = chunk_of(count);
  double sum = 0;
  for (int64_t i = chunk.begin + threadIdx.x; i < chunk.end; i += kReduceThreads)
    sum += static_cast<double>(x[i]) * x[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) squares[blockIdx.x] = sum;
}

// The chunks' values added in order: `each` values a chunk.
std::vector<double> totals(const double* squares, int64_t chunks, int64_t each, Operation& operation) {
  std::vector<double> values(static_cast<size_t>(chunks * each)), sums(static_cast<size_t>(each), 0.0);
  operation.download(values.data(), squares, chunks * each);
  for (size_t i = 0; i < values.size(); ++i) sums[i % sums.size()] += values[i];
  return sums;
}

}  // namespace

Backend::Norms CudaBackend::moments_update(float* gradient, float* first, float* second, const float* weight,
                                           const MomentRule& rule, int64_t count) {
  Operation operation(memory_);
  const int64_t chunks = divide_up(count, kChunk);
  double* const squares = operation.scratch<double>(2 * chunks);
  float* const g = operation.in_out(gradient, count);
  float* const m = operation.in_out(first, count);
  float* const v = operation.in_out(second, count);
  launch(moments_kernel, dim3(static_cast<unsigned>(chunks)), kReduceThreads, 0, operation.stream(), g, m, v,
         operation.in(weight, count), rule, squares, count);
  const std::vector<double> sums = totals(squares, chunks, 2, operation);
  operation.finish();
  return {sums[0], sums[1]};
}

void CudaBackend::descend(float* weight, const float* update, float rate, int64_t count) {
  Operation operation(memory_);
  float* const w = operation.in_out(weight, count);
  launch(descend_kernel, dim3(static_cast<unsigned>(divide_up(count, kChunk))), kReduceThreads, 0,
         operation.stream(), w, operation.in(update, count), rate, count);
  operation.finish();
}

double CudaBackend::squared_norm(const float* x, int64_t count) {
  Operation operation(memory_);
  const int64_t chunks = divide_up(count, kChunk);
  double* const squares = operation.scratch<double>(chunks);
  launch(squared_norm_kernel, dim3(static_cast<unsigned>(chunks)), kReduceThreads, 0, operation.stream(),
         squares, operation.in(x, count), count);
  return totals(squares, chunks, 1, operation)[0];
}

}  // namespace albert::cuda
