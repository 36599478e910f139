// Memory, scheduling and the devices of this machine.
#include "cuda/backend.h"

#include <cuda_runtime.h>

#include <algorithm>

#include "cuda/runtime.h"
#include "support/error.h"

namespace albert {
namespace cuda {
namespace {

// Of one pass through the layers.
constexpr int64_t kShardRows = 65536;

Gpu describe(int device) {
  cudaDeviceProp properties;
  check_cuda(cudaGetDeviceProperties(&properties, device), "asking for the device");
  check(properties.major >= 8, ErrorCode::kDevice, "expected a GPU of compute capability 8.0 or newer but '",
        properties.name, "' has ", properties.major, ".", properties.minor, "; use device: 'cpu'");
  return {str("sm_", properties.major, properties.minor), properties.multiProcessorCount,
          properties.major == 9 && properties.minor == 0, properties.sharedMemPerBlockOptin};
}

}  // namespace

CudaBackend::CudaBackend(int device)
    : name_(device == 0 ? "cuda" : str("cuda:", device)), gpu_(describe(device)), memory_(device) {}
CudaBackend::~CudaBackend() = default;

float* CudaBackend::allocate(size_t floats, Place place) {
  check(floats < SIZE_MAX / sizeof(float) / 2, ErrorCode::kOutOfMemory,
        "expected a batch that fits any memory");
  return static_cast<float*>(memory_.allocate(floats * sizeof(float), place));
}
void CudaBackend::release(float* memory) { memory_.release(memory); }

void CudaBackend::upload(float* memory, const float* host, size_t floats) {
  Operation operation(memory_);
  memory_.forget_rounded(memory, floats * sizeof(float));
  check_cuda(
      cudaMemcpyAsync(memory, host, floats * sizeof(float), cudaMemcpyHostToDevice, operation.stream()),
      "copying to the device");
}

void CudaBackend::download(float* host, const float* memory, size_t floats) {
  Operation operation(memory_);
  check(!memory_.has_only_rounded(memory), ErrorCode::kDevice, "a matrix that holds rounded values is read");
  operation.download(host, memory, static_cast<int64_t>(floats));
}

void CudaBackend::clear(float* memory, size_t floats) {
  Operation operation(memory_);
  memory_.forget_rounded(memory, floats * sizeof(float));
  check_cuda(cudaMemsetAsync(memory, 0, floats * sizeof(float), operation.stream()), "clearing memory");
}

int64_t CudaBackend::head_stride(int64_t head_size, Precision precision) const {
  // Rows start on 16 bytes.
  const int64_t values =
      16 / static_cast<int64_t>(precision == Precision::kFp32 ? sizeof(float) : sizeof(uint16_t));
  return (head_size + values - 1) / values * values;
}

void CudaBackend::reserve(const BackendLimits& limits) {
  check(limits.precision != Precision::kInt8, ErrorCode::kInvalidArgument,
        "expected dtype 'fp32' or 'bf16' on a GPU but received 'int8'; use bf16, or device: 'cpu'");
  precision_ = limits.precision;
}

Tiles CudaBackend::keep_rounded(const float* x, int64_t width, int64_t rows) {
  return x && precision_ == Precision::kBf16 ? memory_.keep_rounded(x, width, rows) : Tiles{};
}

// The blocks of a launch share the work, whatever the sequences are; more rows than keep them busy would only
// take memory, so shards of kShardRows follow one another.
ShardPlan CudaBackend::plan(const Segments& segments) const {
  ShardPlan plan;
  plan.begin.push_back(0);
  for (int64_t s = 0; s < segments.count; ++s) {
    const int64_t rows = segments.row_begin[s + 1] - segments.row_begin[plan.begin.back()];
    if (rows > kShardRows && plan.begin.back() < s) plan.begin.push_back(static_cast<int32_t>(s));
  }
  plan.begin.push_back(static_cast<int32_t>(segments.count));
  for (size_t i = 0; i + 1 < plan.begin.size(); ++i)
    plan.max_rows = std::max<int64_t>(
        plan.max_rows, segments.row_begin[plan.begin[i + 1]] - segments.row_begin[plan.begin[i]]);
  return plan;
}

void CudaBackend::run(const ShardPlan& plan, const ShardBody& body) {
  for (size_t shard = 0; shard + 1 < plan.begin.size(); ++shard) body(*this, 0, static_cast<int64_t>(shard));
}

void CudaBackend::run_pass(const PassInputs& inputs, const std::vector<const void*>& memory,
                           const std::function<bool()>& pass) {
  const Operation holds_the_backend(memory_);
  std::vector<int64_t> key = inputs_.place(inputs);
  for (const void* address : memory) key.push_back(static_cast<int64_t>(reinterpret_cast<intptr_t>(address)));
  struct Forget {
    PlacedInputs& inputs;
    ~Forget() { inputs.forget(); }
  } const at_the_end{inputs_};
  passes_.run(key, pass);
}

}  // namespace cuda

std::unique_ptr<Backend> make_cuda_backend(int device) { return std::make_unique<cuda::CudaBackend>(device); }

std::vector<CudaDevice> cuda_devices() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    cudaGetLastError();
    throw Error(ErrorCode::kDevice,
                str("no GPU can be used: ", cudaGetErrorString(error), " (this build needs an ",
                    "NVIDIA driver for CUDA ", CUDART_VERSION / 1000, ".", CUDART_VERSION / 10 % 100, ")"));
  }
  std::vector<CudaDevice> devices;
  for (int device = 0; device < count; ++device) {
    cudaDeviceProp properties;
    cuda::check_cuda(cudaGetDeviceProperties(&properties, device), "asking for the device");
    devices.push_back({properties.name, properties.major, properties.minor, properties.multiProcessorCount,
                       properties.totalGlobalMem});
  }
  return devices;
}

}  // namespace albert
