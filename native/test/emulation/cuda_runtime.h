// A stand-in for CUDA's header of this name that runs kernels on the host, so that a machine without a GPU
// tests them: each thread of a block is a fiber, clusters of blocks run one after another, and device memory
// cannot be touched by the host (after one kernel in eight, which shows those that do).
//
// What it shows: wrong indices, missing barriers (the order of threads between two barriers is random),
// shared memory that was not written, copies that were not waited for, host code that reads device memory.
// What it cannot show: speed, races that need two threads in the same instant, and what the real instructions
// do beyond their description.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static  // blocks run one after another; those of a cluster have none

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

extern dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace albert::emulation {

// Runs `kernel` once for each thread of the grid, `cluster` neighbouring blocks at the same time. Throws
// std::logic_error when threads of a block wait for one another at different barriers.
void run(const dim3& grid, const dim3& block, unsigned cluster, size_t shared_bytes,
         const std::function<void()>& kernel);
// Does it now, or whenever the graph that is being recorded runs.
void put_on_stream(const std::function<void()>& work);
bool has_shared_memory(size_t bytes);  // for a block of the current device
void* dynamic_shared_memory();
void block_barrier();
void warp_barrier();
void warpgroup_barrier();  // of four warps
// Leaves `bytes` of this lane for its warp, waits for the others, and returns what all 32 left, `kSlot` bytes
// each, valid until this lane exchanges the next but one.
constexpr size_t kSlot = 64;
const unsigned char* exchange(const void* values, size_t bytes);
int lane();

}  // namespace albert::emulation

// ---- device functions

inline void __syncthreads() { albert::emulation::block_barrier(); }
inline void __syncwarp(unsigned = 0xffffffffu) { albert::emulation::warp_barrier(); }

template <typename T>
T __shfl_sync(unsigned, T value, int from) {
  T result;
  std::memcpy(&result, albert::emulation::exchange(&value, sizeof value) + from * albert::emulation::kSlot,
              sizeof result);
  return result;
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits) {
  return __shfl_sync(mask, value, albert::emulation::lane() ^ bits);
}
using std::max;
using std::min;
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// ---- the part of the runtime that the backend uses

#define CUDART_VERSION 12040
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorMemoryAllocation = 2 };
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum { cudaStreamNonBlocking = 1 };
using cudaStream_t = struct EmulatedStream*;
using cudaGraph_t = struct EmulatedGraph*;
using cudaGraphExec_t = struct EmulatedGraph*;
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
struct cudaDeviceProp {
  char name[256];
  int major, minor, multiProcessorCount;
  size_t totalGlobalMem, sharedMemPerBlockOptin;
};
enum cudaLaunchAttributeID {
  cudaLaunchAttributeClusterDimension = 4,
  cudaLaunchAttributeProgrammaticStreamSerialization = 6
};
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    int programmaticStreamSerializationAllowed;
    dim3 clusterDim;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  cudaLaunchAttribute* attrs = nullptr;
  unsigned numAttrs = 0;
};

cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetLastError();
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaMalloc(void** memory, size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);

// A graph keeps what was put on the stream while it was recorded.
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);

template <typename Kernel>
cudaError_t cudaFuncSetAttribute(Kernel*, cudaFuncAttribute, int shared_bytes) {
  return albert::emulation::has_shared_memory(static_cast<size_t>(shared_bytes)) ? cudaSuccess
                                                                                 : cudaErrorInvalidValue;
}
template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  unsigned cluster = 1;
  for (unsigned i = 0; i < config->numAttrs; ++i)
    if (config->attrs[i].id == cudaLaunchAttributeClusterDimension)
      cluster = config->attrs[i].val.clusterDim.x;
  albert::emulation::put_on_stream(
      [config = *config, cluster, kernel,
       values = std::tuple<Parameters...>(static_cast<Parameters>(arguments)...)] {
        albert::emulation::run(config.gridDim, config.blockDim, cluster, config.dynamicSmemBytes,
                               [&] { std::apply(kernel, values); });
      });
  return cudaSuccess;
}
