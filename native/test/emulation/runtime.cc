// The runtime of the emulated device: memory that only kernels may touch, streams, and graphs.
#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <random>
#include <vector>

#include "cuda_runtime.h"
#include "device_memory.h"

struct EmulatedGraph {
  std::vector<std::function<void()>> work;
};

namespace albert::emulation {
namespace {

constexpr size_t kTotalMemory = size_t{1} << 32;

struct Mapping {
  char* base;
  size_t bytes;  // of the mapping, the page that nobody may touch included
  int device;
};

std::recursive_mutex mutex;
int accesses = 0;  // nested ones
bool open = false;
std::minstd_rand engine(20261127);
std::map<void*, Mapping> device_memory;
thread_local int current_device = 0;

// That of 9.0, and the least that a capability of 8 has (8.6 and 8.9).
size_t shared_bytes_of(int device) { return size_t{device == 0 ? 227u : 99u} << 10; }
thread_local EmulatedGraph* recording = nullptr;  // by this thread

size_t page_bytes() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

// Little is left on the second device.
size_t memory_left() {
  size_t left = current_device == 0 ? kTotalMemory : size_t{16} << 20;
  for (const auto& [memory, mapping] : device_memory)
    if (mapping.device == current_device) left -= std::min(left, mapping.bytes);
  return left;
}

void protect(bool opened) {
  open = opened;
  for (const auto& [memory, mapping] : device_memory)
    mprotect(mapping.base, mapping.bytes - page_bytes(), open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

}  // namespace

DeviceAccess::DeviceAccess() : lock_(mutex) {
  if (accesses++ == 0 && !open) protect(true);
}
// Closing takes longer than many a kernel. A host that reads what it may not does so every time, so that one
// time in eight shows it.
DeviceAccess::~DeviceAccess() {
  if (--accesses == 0 && engine() % 8 == 0) protect(false);
}

bool has_shared_memory(size_t bytes) { return bytes <= shared_bytes_of(current_device); }

void put_on_stream(const std::function<void()>& work) {
  recording ? recording->work.push_back(work) : work();
}

}  // namespace albert::emulation

using namespace albert::emulation;

// One device of each compute capability that has kernels of its own.
cudaError_t cudaGetDeviceCount(int* count) { return *count = 2, cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  *properties = {"emulated", device == 0 ? 9 : 8, 0, 4, kTotalMemory, shared_bytes_of(device)};
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) { return current_device = device, cudaSuccess; }
cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess             ? "no error"
         : error == cudaErrorInvalidValue ? "invalid argument"
                                          : "out of memory";
}

// The end of a block is next to a page that nobody may touch.
cudaError_t cudaMalloc(void** memory, size_t bytes) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  if (bytes > memory_left()) return cudaErrorMemoryAllocation;
  const size_t page = page_bytes(), aligned = (bytes + 255) / 256 * 256;
  const size_t pages = (aligned + page - 1) / page * page;
  char* const base = static_cast<char*>(
      mmap(nullptr, pages + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  std::memset(base, kPoisonByte, pages);
  *memory = base + pages - aligned;
  device_memory[*memory] = {base, pages + page, current_device};
  mprotect(base + (open ? pages : 0), open ? page : pages + page, PROT_NONE);
  return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  const auto found = device_memory.find(memory);
  if (found == device_memory.end()) return cudaSuccess;
  munmap(found->second.base, found->second.bytes);
  device_memory.erase(found);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return cudaMemcpy2DAsync(to, bytes, from, bytes, bytes, 1, kind, stream);
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind, cudaStream_t) {
  put_on_stream([=] {
    const DeviceAccess access;
    for (size_t row = 0; row < height; ++row)
      std::memcpy(static_cast<char*>(to) + row * to_pitch, static_cast<const char*>(from) + row * from_pitch,
                  width);
  });
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t) {
  put_on_stream([=] {
    const DeviceAccess access;
    std::memset(memory, value, bytes);
  });
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
  return recording = new EmulatedGraph, cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
  *graph = recording;
  return recording = nullptr, cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return *exec = new EmulatedGraph(*graph), cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t) {
  const DeviceAccess access;
  for (const auto& work : exec->work) work();
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return delete graph, cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { return delete exec, cudaSuccess; }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return *stream = nullptr, cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  return *free = memory_left(), *total = kTotalMemory, cudaSuccess;
}
