// Memory of the GPU and of one operation on it: what is the device's, what must be copied, and scratch.
#pragma once

#include <cuda_runtime.h>

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "cuda/tiles.cuh"
#include "ops.h"

namespace albert::cuda {

// What kernels are chosen by.
struct Gpu {
  std::string architecture;  // 'sm_90'
  int multiprocessors;
  bool has_warpgroups;  // compute capability 9.0
  size_t shared_bytes;  // of shared memory that a block may have
};

class DeviceMemory {
 public:
  explicit DeviceMemory(int device);
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  void* allocate(size_t bytes, Place place = Place::kDevice);  // throws Error{kOutOfMemory}
  void release(void* memory);
  bool is_device(const void* memory) const;
  cudaStream_t stream() const { return stream_; }
  // Grows whenever memory of the device is given back: what was recorded before may point to it.
  uint64_t generation() const { return generation_; }
  // How often memory of the device was taken.
  uint64_t allocations() const { return allocations_; }

  // Records what body() puts on the stream instead of doing it. Nothing can be allocated or copied from or to
  // the host meanwhile: throws Error{kDevice} when body() tries. Null when body() says that it did not end.
  cudaGraphExec_t record(const std::function<bool()>& body);

  // Matrices keep their rounded values beside them until they are written again: who writes a matrix that a
  // product will read may write both, or the rounded values `only`; a reader then gets those as fp32. Where
  // half of the GPU's memory is taken, those of which there is an fp32 matrix may go before. Room for x
  // [rows, width], to be filled by the operation that asks; rows past the last are zeros, as products along
  // the rows need them.
  Tiles keep_rounded(const float* x, int64_t width, int64_t rows, bool only = false);
  const Tiles* kept_rounded(const float* x, int64_t width, int64_t rows);  // null when there are none
  bool has_only_rounded(const float* x) const { return only_rounded(x) != nullptr; }
  void forget_rounded(const void* written, size_t bytes);
  void forget_all_rounded();

 private:
  friend class Operation;
  struct Block {
    size_t bytes;
    Place place;
  };
  void* take_scratch(size_t bytes);
  void reset_scratch();
  void check_not_recording(const char* what) const;
  struct Rounded;
  Rounded& place_for_rounded(int64_t values);
  bool give_back_rounded();
  const Rounded* only_rounded(const float* x) const;

  int device_;
  cudaStream_t stream_ = nullptr;
  mutable std::recursive_mutex mutex_;
  uint64_t generation_ = 0, allocations_ = 0;
  bool recording_ = false;
  std::map<const char*, Block> blocks_;

  // Scratch of the running operation: slices of one block, and blocks for what that had no room for.
  char* scratch_ = nullptr;
  size_t scratch_bytes_ = 0, scratch_used_ = 0, scratch_wanted_ = 0;
  std::vector<void*> overflow_;

  struct Rounded {
    const char* matrix = nullptr;  // null: free
    int64_t width = 0, rows = 0;
    Tiles tiles;
    int64_t capacity = 0;  // values
    bool only = false;     // the matrix holds nothing else
    uint64_t used = 0;     // when, by the clock
  };
  std::vector<Rounded> rounded_;
  uint64_t clock_ = 0, operation_began_ = 0;
};

// One operation: holds the backend while it is put on the stream, brings its arguments to the device and
// results that belong to the host back. Every function gives the address that kernels use.
class Operation {
 public:
  explicit Operation(DeviceMemory& memory);
  // Brings host results back. Throws what the copies throw; the destructor brings nothing back.
  void finish();

  cudaStream_t stream() const { return memory_.stream_; }

  // Matrices [rows, width] with `stride` between rows, on either side.
  const float* in(const float* matrix, int64_t stride, int64_t width, int64_t rows);
  // For a product of bf16, which may find the rounded values of a matrix instead.
  const float* factor(const float* matrix, int64_t stride, int64_t width, int64_t rows);
  float* out(float* matrix, int64_t stride, int64_t width, int64_t rows);
  float* in_out(float* matrix, int64_t stride, int64_t width, int64_t rows);
  // Vectors likewise; null stays null.
  const float* in(const float* vector, int64_t count) { return in(vector, count, count, 1); }
  float* in_out(float* vector, int64_t count) { return in_out(vector, count, count, 1); }

  // Host values for the kernels.
  template <typename T>
  const T* upload(const T* host, int64_t count) {
    return static_cast<const T*>(upload_bytes(host, static_cast<size_t>(count) * sizeof(T)));
  }
  template <typename T>
  T* scratch(int64_t count) {
    return static_cast<T*>(memory_.take_scratch(static_cast<size_t>(count) * sizeof(T)));
  }
  // Waits for the kernels and copies their values.
  template <typename T>
  void download(T* host, const T* device, int64_t count) {
    download_bytes(host, device, static_cast<size_t>(count) * sizeof(T));
  }

 private:
  struct Result {
    float* host;
    const float* device;
    int64_t stride, width, rows;
  };
  const void* upload_bytes(const void* host, size_t bytes);
  void download_bytes(void* host, const void* device, size_t bytes);

  DeviceMemory& memory_;
  std::lock_guard<std::recursive_mutex> lock_;
  std::vector<Result> results_;
};

}  // namespace albert::cuda
