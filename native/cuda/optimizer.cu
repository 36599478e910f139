// The squared norm of all gradients, and the step of all tensors: a block for each chunk of a tensor.
#include <algorithm>
#include <numeric>
#include <vector>

#include "cuda/backend.h"
#include "cuda/common.cuh"
#include "support/trust_ratio.h"

namespace albert::cuda {
namespace {

constexpr int64_t kChunk = 16384;

int64_t chunks_of(int64_t count) { return divide_up(count, kChunk); }

// Chunk blockIdx.x of tensor blockIdx.y; empty where the tensor has fewer.
struct Chunk {
  int64_t begin, end;
};
__device__ inline Chunk chunk_of(int64_t begin, int64_t count) {
  const int64_t at = int64_t{blockIdx.x} * kChunk;
  return {begin + at, begin + (at + kChunk < count ? at + kChunk : count)};
}

// Gradients become updates. norms[tensor][chunk] has those of the chunk.
__global__ void __launch_bounds__(kReduceThreads)
    moments_kernel(OptimizerMemory memory, MomentRule rule, const OptimizedTensor* tensors,
                   SquaredNorms* norms) {
  const OptimizedTensor& tensor = tensors[blockIdx.y];
  const Chunk chunk = chunk_of(tensor.begin, tensor.count);
  if (chunk.begin >= chunk.end) return;
  SquaredNorms sums;
  for (int64_t i = chunk.begin + threadIdx.x; i < chunk.end; i += kReduceThreads) {
    const float weight = memory.weights[i], g = rule.gradient_scale * memory.gradients[i];
    const float m = rule.beta1 * memory.first[i] + rule.rest1 * g;
    const float v = rule.beta2 * memory.second[i] + rule.rest2 * g * g;
    const float update = m / (sqrtf(v) + rule.epsilon) + tensor.decay * weight;
    memory.first[i] = m;
    memory.second[i] = v;
    memory.gradients[i] = update;
    sums.weight += static_cast<double>(weight) * weight;
    sums.update += static_cast<double>(update) * update;
  }
  sums = {block_sum(sums.weight), block_sum(sums.update)};
  if (threadIdx.x == 0) norms[int64_t{blockIdx.y} * gridDim.x + blockIdx.x] = sums;
}

// rates[tensor], a block for each. `most_chunks`: those of the largest tensor, the rows of norms.
__global__ void __launch_bounds__(kReduceThreads)
    rates_kernel(float* rates, const OptimizedTensor* tensors, const SquaredNorms* norms,
                 int64_t most_chunks) {
  const OptimizedTensor& tensor = tensors[blockIdx.x];
  norms += int64_t{blockIdx.x} * most_chunks;
  SquaredNorms sums;
  for (int64_t chunk = threadIdx.x; chunk * kChunk < tensor.count; chunk += kReduceThreads)
    sums.weight += norms[chunk].weight, sums.update += norms[chunk].update;
  sums = {block_sum(sums.weight), block_sum(sums.update)};
  if (threadIdx.x == 0)
    rates[blockIdx.x] = static_cast<float>(tensor.rate * (tensor.has_trust_ratio ? trust_ratio(sums) : 1));
}

__global__ void __launch_bounds__(kReduceThreads)
    descend_kernel(OptimizerMemory memory, const OptimizedTensor* tensors, const float* rates) {
  const Chunk chunk = chunk_of(tensors[blockIdx.y].begin, tensors[blockIdx.y].count);
  const float rate = rates[blockIdx.y];
  for (int64_t i = chunk.begin + threadIdx.x; i < chunk.end; i += kReduceThreads)
    memory.weights[i] -= rate * memory.gradients[i];
}

__global__ void __launch_bounds__(kReduceThreads)
    squared_norm_kernel(double* squares, const float* x, int64_t count) {
  const Chunk chunk = chunk_of(0, count);
  double sum = 0;
  for (int64_t i = chunk.begin + threadIdx.x; i < chunk.end; i += kReduceThreads)
    sum += static_cast<double>(x[i]) * x[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) squares[blockIdx.x] = sum;
}

}  // namespace

double CudaBackend::squared_norm(const float* x, int64_t count) {
  Operation operation(memory_);
  const int64_t chunks = chunks_of(count);
  double* const squares = operation.scratch<double>(chunks);
  launch(squared_norm_kernel, dim3(static_cast<unsigned>(chunks)), kReduceThreads, 0, operation.stream(),
         squares, operation.in(x, count), count);
  std::vector<double> of_chunks(static_cast<size_t>(chunks));
  operation.download(of_chunks.data(), squares, chunks);
  return std::accumulate(of_chunks.begin(), of_chunks.end(), 0.0);
}

void CudaBackend::optimizer_step(const OptimizerMemory& memory, const MomentRule& rule,
                                 const std::vector<OptimizedTensor>& tensors) {
  if (tensors.empty()) return;
  Operation operation(memory_);
  const OptimizerMemory on_device{operation.in_out(memory.weights, memory.count),
                                  operation.in_out(memory.gradients, memory.count),
                                  operation.in_out(memory.first, memory.count),
                                  operation.in_out(memory.second, memory.count), memory.count};
  const int64_t count = static_cast<int64_t>(tensors.size());
  const OptimizedTensor* const listed = operation.upload(tensors.data(), count);
  int64_t most_chunks = 0;
  for (const OptimizedTensor& tensor : tensors) most_chunks = std::max(most_chunks, chunks_of(tensor.count));
  SquaredNorms* const norms = operation.scratch<SquaredNorms>(count * most_chunks);
  float* const rates = operation.scratch<float>(count);
  const dim3 chunks(static_cast<unsigned>(most_chunks), static_cast<unsigned>(count));
  launch(moments_kernel, chunks, kReduceThreads, 0, operation.stream(), on_device, rule, listed, norms);
  launch(rates_kernel, dim3(static_cast<unsigned>(count)), kReduceThreads, 0, operation.stream(), rates,
         listed, norms, most_chunks);
  launch(descend_kernel, chunks, kReduceThreads, 0, operation.stream(), on_device, listed, rates);
  operation.finish();
}

}  // namespace albert::cuda
