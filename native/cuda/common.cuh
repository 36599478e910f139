// What kernels share: launching, sums over a warp or a block, 16-bit values, activations and dropout.
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>

#include "cuda/exponential.cuh"
#include "cuda/instructions.cuh"
#include "cuda/runtime.h"
#include "ops.h"
#include "support/rng.h"

namespace albert::cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

template <typename T>
__host__ __device__ constexpr T divide_up(T value, T divisor) {
  return (value + divisor - 1) / divisor;
}
template <typename T>
__host__ __device__ constexpr T round_up(T value, T multiple) {
  return divide_up(value, multiple) * multiple;
}

// Blocks of `threads` that give each of `items` a thread.
inline dim3 blocks_of(int64_t items, int threads) {
  return dim3(static_cast<unsigned>(divide_up<int64_t>(items, threads)));
}

template <typename... Parameters, typename... Arguments>
void launch_with(cudaLaunchAttribute* attributes, unsigned count, void (*kernel)(Parameters...), dim3 grid,
                 int threads, size_t shared_bytes, cudaStream_t stream, Arguments... arguments) {
  if (grid.x == 0 || grid.y == 0) return;
  constexpr size_t kUnasked = 48 << 10;  // a kernel must ask for more
  if (shared_bytes > kUnasked)
    check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(shared_bytes)),
               "asking for shared memory");
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = count;
  check_cuda(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), "starting a kernel");
}

template <typename Kernel, typename... Arguments>
void launch(Kernel* kernel, dim3 grid, int threads, size_t shared_bytes, cudaStream_t stream,
            Arguments... arguments) {
  launch_with(nullptr, 0, kernel, grid, threads, shared_bytes, stream, arguments...);
}

// Starts a kernel that calls follow_previous() before it touches memory: its blocks take their places while
// the previous kernel ends (programmatic dependent launch, of compute capability 9.0; without effect before).
// Clusters of that many neighbouring blocks run at the same time.
template <typename Kernel, typename... Arguments>
void launch_clusters_early(int cluster, Kernel* kernel, dim3 grid, int threads, size_t shared_bytes,
                           cudaStream_t stream, Arguments... arguments) {
  cudaLaunchAttribute attributes[2] = {};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim = {static_cast<unsigned>(cluster), 1, 1};
  launch_with(attributes, cluster > 1 ? 2 : 1, kernel, grid, threads, shared_bytes, stream, arguments...);
}
template <typename Kernel, typename... Arguments>
void launch_early(Kernel* kernel, dim3 grid, int threads, size_t shared_bytes, cudaStream_t stream,
                  Arguments... arguments) {
  launch_clusters_early(1, kernel, grid, threads, shared_bytes, stream, arguments...);
}

// ---- sums, in an order that nothing changes

__device__ inline float warp_sum(float x) {
  for (int bits = kWarp / 2; bits > 0; bits /= 2) x += __shfl_xor_sync(kAllLanes, x, bits);
  return x;
}
__device__ inline double warp_sum(double x) {
  for (int bits = kWarp / 2; bits > 0; bits /= 2) x += __shfl_xor_sync(kAllLanes, x, bits);
  return x;
}
__device__ inline float warp_max(float x) {
  for (int bits = kWarp / 2; bits > 0; bits /= 2) {
    const float other = __shfl_xor_sync(kAllLanes, x, bits);
    x = other > x ? other : x;
  }
  return x;
}

constexpr int kReduceThreads = 256;

// Of a block of kReduceThreads; every thread gets the result. `neutral` changes nothing when it is combined.
template <typename T, typename Combine>
__device__ T block_reduce(T x, T neutral, const Combine& of_warp) {
  constexpr unsigned kWarps = kReduceThreads / kWarp;
  __shared__ T of_warps[kWarps];
  const unsigned lane = threadIdx.x % kWarp;
  x = of_warp(x);
  if (lane == 0) of_warps[threadIdx.x / kWarp] = x;
  __syncthreads();
  x = of_warp(lane < kWarps ? of_warps[lane] : neutral);
  __syncthreads();
  return x;
}
template <typename T>
__device__ T block_sum(T x) {
  return block_reduce(x, T(0), [](T value) { return warp_sum(value); });
}
__device__ inline float block_max(float x) {
  return block_reduce(x, x, [](float value) { return warp_max(value); });
}

// ---- values

// Reads fp32 or bf16.
__device__ inline float value_of(float x) { return x; }
__device__ inline float value_of(uint16_t x) { return __uint_as_float(static_cast<uint32_t>(x) << 16); }
// Of a pair, as pack_bf16() makes it.
__device__ inline float low_bf16(uint32_t pair) { return __uint_as_float(pair << 16); }
__device__ inline float high_bf16(uint32_t pair) { return __uint_as_float(pair & 0xffff0000u); }
__device__ inline void store_value(float* to, float x) { *to = x; }
__device__ inline void store_value(uint16_t* to, float x) { *to = static_cast<uint16_t>(pack_bf16(x, 0)); }

// The constants of Hendrycks and Gimpel 2016 (arXiv 1606.08415), section 2.
constexpr float kSqrt2OverPi = 0.7978845608028654f, kCubic = 0.044715f, kSqrtHalf = 0.7071067811865476f,
                kInverseSqrt2Pi = 0.3989422804014327f, kLog2E = 1.4426950408889634f;

// 1 + tanh and tanh by one exponential, within 1e-7: the library's functions take registers that the tiles of
// a product need.
__device__ inline float sigmoid(float x) { return 1 / (1 + expf(-x)); }
__device__ inline float tanh_of(float x) {
  const float e = expf(-2 * fabsf(x)), t = (1 - e) / (1 + e);
  return x < 0 ? -t : t;
}

__device__ inline float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::kIdentity:
      return x;
    case Activation::kGelu:
      return 0.5f * x * (1 + erff(x * kSqrtHalf));
    case Activation::kGeluNew:
      return x * sigmoid(2 * kSqrt2OverPi * (x + kCubic * x * x * x));
    case Activation::kRelu:
      return max_or_nan(x, 0);
    case Activation::kSilu:
      return x * sigmoid(x);
    case Activation::kTanh:
      return tanh_of(x);
  }
  return x;
}

// activate() and its derivative within 1e-6 by instructions that are less exact than the library's: for
// values that are rounded to bf16 next. erf is formula 7.1.26 of Abramowitz and Stegun, Handbook of
// Mathematical Functions. NaN and plus infinity stay what they are; what goes to zero on the left is zero
// from -kFlat on, its slope too, and so it is of minus infinity, which fp16 makes of any value below its
// range.
struct Activated {
  float value, slope;
};
constexpr float kFlat = 100;
__device__ inline Activated activate_briefly(Activation activation, float x) {
  switch (activation) {
    case Activation::kIdentity:
      return {x, 1};
    case Activation::kGelu: {
      x = max_or_nan(x, -kFlat);
      const float t = reciprocal(1 + 0.3275911f * kSqrtHalf * fabsf(x)),
                  bell = power_of_two(-0.5f * kLog2E * x * x);
      const float tail =
          t *
          (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
      const float half = 0.5f * tail * bell;  // of the complement
      const float below = x < 0 ? half : 1 - half;
      return {x * below, below + x * kInverseSqrt2Pi * bell};
    }
    case Activation::kGeluNew: {
      constexpr float kScale = 2 * kSqrt2OverPi, kLinear = -kLog2E * kScale;
      x = max_or_nan(x, -kFlat);
      const float square = x * x, s = reciprocal(1 + power_of_two(x * (kLinear + kLinear * kCubic * square)));
      const float value = x * s;
      return {value, s + value * (1 - s) * kScale * (1 + 3 * kCubic * square)};
    }
    case Activation::kRelu:
      return {max_or_nan(x, 0), x > 0 ? 1.0f : 0.0f};
    case Activation::kSilu: {
      x = max_or_nan(x, -kFlat);
      const float s = reciprocal(1 + power_of_two(-kLog2E * x));
      return {x * s, s * (1 + x * (1 - s))};
    }
    case Activation::kTanh: {
      const float t = tanh_of(x);
      return {t, 1 - t * t};
    }
  }
  return {x, 1};
}

// The derivative of activate().
__device__ inline float activation_slope(Activation activation, float x) {
  switch (activation) {
    case Activation::kIdentity:
      return 1;
    case Activation::kGelu:
      return 0.5f * (1 + erff(x * kSqrtHalf)) + x * kInverseSqrt2Pi * expf(-0.5f * x * x);
    case Activation::kGeluNew: {
      const float t = tanh_of(kSqrt2OverPi * (x + kCubic * x * x * x));
      return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * kSqrt2OverPi * (1 + 3 * kCubic * x * x);
    }
    case Activation::kRelu:
      return x > 0 ? 1 : 0;
    case Activation::kSilu: {
      const float s = sigmoid(x);
      return s * (1 + x * (1 - s));
    }
    case Activation::kTanh: {
      const float t = tanh_of(x);
      return 1 - t * t;
    }
  }
  return 1;
}

// A random word below it drops its element.
__device__ inline uint32_t drop_threshold(const Dropout& dropout) {
  return static_cast<uint32_t>(static_cast<double>(dropout.probability) * 4294967296.0);
}

// The factor of dropout at (row, column): 0 or 1 / (1 - p), as ops.h defines it.
__device__ inline float keep_factor(const Dropout& dropout, int64_t row, int64_t column) {
  const uint64_t index = static_cast<uint64_t>(row) << 16 | static_cast<uint64_t>(column / 4);
  const Philox4 random = philox(dropout.seed, dropout.stream, index);
  return random.word[column % 4] >= drop_threshold(dropout) ? 1 / (1 - dropout.probability) : 0;
}

// Those of four columns from a multiple of four on.
__device__ inline void keep_factors(float (&factors)[4], const Dropout& dropout, int64_t row,
                                    int64_t column) {
  const uint64_t index = static_cast<uint64_t>(row) << 16 | static_cast<uint64_t>(column / 4);
  const Philox4 random = philox(dropout.seed, dropout.stream, index);
  const uint32_t threshold = drop_threshold(dropout);
  const float kept = 1 / (1 - dropout.probability);
#pragma unroll
  for (int e = 0; e < 4; ++e) factors[e] = random.word[e] >= threshold ? kept : 0;
}

}  // namespace albert::cuda
