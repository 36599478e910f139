// Allocation, scratch and copies.
#include "cuda/memory.h"

#include <algorithm>
#include <cstdlib>
#include <exception>

#include "cuda/runtime.h"
#include "cuda/tiles.h"

namespace albert::cuda {
namespace {

constexpr size_t kAlignment = 256;

void free_block(void* memory, Place place) {
  place == Place::kHost ? std::free(memory) : (void)cudaFree(memory);
}

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

DeviceMemory::DeviceMemory(int device) : device_(device) {
  check_cuda(cudaSetDevice(device), "choosing the device");
  check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
}

DeviceMemory::~DeviceMemory() {
  cudaSetDevice(device_);
  cudaStreamSynchronize(stream_);
  for (const auto& [memory, block] : blocks_) {
    free_block(const_cast<char*>(memory), block.place);
  }
  cudaStreamDestroy(stream_);
}

void* DeviceMemory::allocate(size_t bytes, Place place) {
  std::lock_guard<std::recursive_mutex> lock(mutex_);
  check_not_recording("allocates");
  check_cuda(cudaSetDevice(device_), "choosing the device");
  void* memory = nullptr;
  const size_t size = std::max(aligned(bytes), kAlignment);
  // Copies to pageable memory have left it when the call returns, so the host may change it at once.
  const auto take = [&] {
    if (place == Place::kHost) return (memory = std::aligned_alloc(kAlignment, size)) != nullptr;
    return cudaMalloc(&memory, size) == cudaSuccess;
  };
  if (!take() && !(place == Place::kDevice && give_back_rounded() && take())) {
    size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    cudaGetLastError();
    throw Error(ErrorCode::kOutOfMemory,
                str("expected ", (size >> 20) + 1, " MiB of ", place == Place::kHost ? "host " : "",
                    "memory but the GPU has ", free >> 20, " of ", total >> 20,
                    " MiB left; use smaller batches or a smaller model"));
  }
  blocks_[static_cast<const char*>(memory)] = {size, place};
  if (place == Place::kDevice) ++allocations_;
  return memory;
}

void DeviceMemory::release(void* memory) {
  if (!memory) return;
  std::lock_guard<std::recursive_mutex> lock(mutex_);
  const auto found = blocks_.find(static_cast<const char*>(memory));
  if (found == blocks_.end()) return;
  check_not_recording("gives back memory");
  if (found->second.place == Place::kDevice) ++generation_;
  forget_rounded(memory, found->second.bytes);
  cudaSetDevice(device_);
  cudaStreamSynchronize(stream_);
  free_block(memory, found->second.place);
  blocks_.erase(found);
}

bool DeviceMemory::is_device(const void* memory) const {
  const char* const address = static_cast<const char*>(memory);
  const auto after = blocks_.upper_bound(address);
  if (after == blocks_.begin()) return false;
  const auto& [begin, block] = *std::prev(after);
  return block.place == Place::kDevice && address < begin + block.bytes;
}

void* DeviceMemory::take_scratch(size_t bytes) {
  const size_t size = std::max(aligned(bytes), kAlignment);
  scratch_wanted_ += size;
  if (scratch_used_ + size <= scratch_bytes_) {
    void* const slice = scratch_ + scratch_used_;
    scratch_used_ += size;
    forget_rounded(slice, size);
    return slice;
  }
  overflow_.push_back(allocate(size));
  return overflow_.back();
}

// What did not fit makes the block larger for the next time.
void DeviceMemory::reset_scratch() {
  if (!overflow_.empty()) {
    for (void* block : overflow_) release(block);
    overflow_.clear();
    release(scratch_);
    scratch_ = nullptr;
    scratch_bytes_ = 0;
    scratch_ = static_cast<char*>(allocate(scratch_wanted_));
    scratch_bytes_ = scratch_wanted_;
  }
  scratch_used_ = scratch_wanted_ = 0;
}

void DeviceMemory::check_not_recording(const char* what) const {
  check(!recording_, ErrorCode::kDevice, "a recorded pass ", what, "; expected the device's memory alone");
}

cudaGraphExec_t DeviceMemory::record(const std::function<bool()>& body) {
  std::lock_guard<std::recursive_mutex> lock(mutex_);
  reset_scratch();
  check_cuda(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "recording a pass");
  recording_ = true;
  bool ended = false;
  std::exception_ptr failure;
  try {
    ended = body();
  } catch (...) {
    failure = std::current_exception();
  }
  recording_ = false;
  cudaGraph_t graph = nullptr;
  const cudaError_t error = cudaStreamEndCapture(stream_, &graph);
  cudaGraphExec_t exec = nullptr;
  if (ended && error == cudaSuccess) {
    const cudaError_t made = cudaGraphInstantiate(&exec, graph, 0);
    cudaGraphDestroy(graph);
    check_cuda(made, "recording a pass");
    return exec;
  }
  if (graph) cudaGraphDestroy(graph);
  if (failure) std::rethrow_exception(failure);
  if (ended) check_cuda(error, "recording a pass");
  return nullptr;
}

// Room for so many rounded values: that of a matrix that was written since, or new, or, where memory is
// scarce, that of the matrix whose values were used longest ago.
DeviceMemory::Rounded& DeviceMemory::place_for_rounded(int64_t values) {
  // Among those that may go there are always the two factors of a product and one more.
  constexpr int kMayGo = 3;
  Rounded* unused = nullptr;
  Rounded* oldest = nullptr;
  int may_go = 0;
  for (Rounded& rounded : rounded_) {
    if (!rounded.matrix) {
      // The smallest that has room, or else the largest.
      const bool has_room = rounded.capacity >= values, had_room = unused && unused->capacity >= values;
      if (!unused || (has_room != had_room ? has_room : has_room == (rounded.capacity < unused->capacity)))
        unused = &rounded;
    } else if (!rounded.only) {
      ++may_go;
      if (!oldest || rounded.used < oldest->used) oldest = &rounded;
    }
  }
  if (unused && unused->capacity >= values) return *unused;
  if (may_go >= kMayGo) {
    if (recording_) return *oldest;  // a record does as the pass before, which took no memory
    size_t free = 0, total = 0;
    check_cuda(cudaMemGetInfo(&free, &total), "asking for the memory that is left");
    if (free < total / 2) return *oldest;
  }
  return unused ? *unused : rounded_.emplace_back();
}

// Gives back what nobody needs: rounded values of which there is the matrix, unless the running operation has
// asked for them. Whether there were any.
bool DeviceMemory::give_back_rounded() {
  bool any = false;
  for (Rounded& rounded : rounded_) {
    if (rounded.capacity == 0 || (rounded.matrix && rounded.only) || rounded.used > operation_began_)
      continue;
    release(rounded.tiles.values);
    rounded = {};
    any = true;
  }
  return any;
}

Tiles DeviceMemory::keep_rounded(const float* x, int64_t width, int64_t rows, bool only) {
  forget_rounded(x, 1);
  const int64_t values = Tiles::count(rows, width);
  Rounded& rounded = place_for_rounded(values);
  rounded.matrix = nullptr;
  if (values > rounded.capacity) {
    release(rounded.tiles.values);
    rounded.capacity = 0;
    rounded.tiles.values = nullptr;
    rounded.tiles.values = static_cast<uint16_t*>(allocate(static_cast<size_t>(values) * sizeof(uint16_t)));
    rounded.capacity = values;
  }
  rounded.tiles.across = tiles_of(width);
  rounded.matrix = reinterpret_cast<const char*>(x);
  rounded.width = width;
  rounded.rows = rows;
  rounded.only = only;
  rounded.used = ++clock_;
  if (rows % kTile != 0)
    check_cuda(cudaMemsetAsync(rounded.tiles.tile(rows / kTile, 0), 0,
                               static_cast<size_t>(rounded.tiles.across * kTileBytes), stream_),
               "clearing rows");
  return rounded.tiles;
}

const Tiles* DeviceMemory::kept_rounded(const float* x, int64_t width, int64_t rows) {
  for (Rounded& rounded : rounded_)
    if (rounded.matrix == reinterpret_cast<const char*>(x) && rounded.width == width &&
        rounded.rows == rows) {
      rounded.used = ++clock_;
      return &rounded.tiles;
    }
  return nullptr;
}

const DeviceMemory::Rounded* DeviceMemory::only_rounded(const float* x) const {
  for (const Rounded& rounded : rounded_)
    if (rounded.matrix && rounded.only && rounded.matrix == reinterpret_cast<const char*>(x)) return &rounded;
  return nullptr;
}

void DeviceMemory::forget_rounded(const void* written, size_t bytes) {
  const char* const begin = static_cast<const char*>(written);
  for (Rounded& rounded : rounded_) {
    const int64_t rows = std::max<int64_t>(rounded.rows, 1);  // one of no rows has its address
    const size_t size = static_cast<size_t>(rows * row_stride(rounded.width)) * sizeof(float);
    if (rounded.matrix && rounded.matrix < begin + bytes && begin < rounded.matrix + size)
      rounded.matrix = nullptr;
  }
}

void DeviceMemory::forget_all_rounded() {
  for (Rounded& rounded : rounded_) rounded.matrix = nullptr;
}

Operation::Operation(DeviceMemory& memory) : memory_(memory), lock_(memory.mutex_) {
  check_cuda(cudaSetDevice(memory.device_), "choosing the device");
  memory_.reset_scratch();
  memory_.operation_began_ = memory_.clock_;
}

const float* Operation::in(const float* matrix, int64_t stride, int64_t width, int64_t rows) {
  if (!matrix || rows == 0) return matrix;
  if (memory_.is_device(matrix)) {
    const DeviceMemory::Rounded* const only = memory_.only_rounded(matrix);
    if (!only) return matrix;
    const Tiles tiles = only->tiles;
    float* const values = scratch<float>(stride * rows);
    expand_rows(values, stride, tiles, width, rows, memory_.stream_);
    return values;
  }
  memory_.check_not_recording("reads the host's memory");
  float* const copy = scratch<float>(stride * rows);
  const size_t pitch = static_cast<size_t>(stride) * sizeof(float);
  check_cuda(cudaMemcpy2DAsync(copy, pitch, matrix, pitch, static_cast<size_t>(width) * sizeof(float),
                               static_cast<size_t>(rows), cudaMemcpyHostToDevice, memory_.stream_),
             "copying to the device");
  return copy;
}

const float* Operation::factor(const float* matrix, int64_t stride, int64_t width, int64_t rows) {
  return matrix && memory_.kept_rounded(matrix, width, rows) ? matrix : in(matrix, stride, width, rows);
}

float* Operation::out(float* matrix, int64_t stride, int64_t width, int64_t rows) {
  if (!matrix || rows == 0) return matrix;
  if (memory_.is_device(matrix)) {
    memory_.forget_rounded(matrix, static_cast<size_t>(stride * rows) * sizeof(float));
    return matrix;
  }
  float* const copy = scratch<float>(stride * rows);
  results_.push_back({matrix, copy, stride, width, rows});
  return copy;
}

float* Operation::in_out(float* matrix, int64_t stride, int64_t width, int64_t rows) {
  check(!memory_.has_only_rounded(matrix), ErrorCode::kDevice,
        "a matrix that holds rounded values is added to");
  if (!matrix || rows == 0 || memory_.is_device(matrix)) return out(matrix, stride, width, rows);
  float* const copy = const_cast<float*>(in(matrix, stride, width, rows));
  results_.push_back({matrix, copy, stride, width, rows});
  return copy;
}

const void* Operation::upload_bytes(const void* host, size_t bytes) {
  memory_.check_not_recording("reads the host's memory");
  void* const copy = memory_.take_scratch(bytes);
  if (bytes > 0)
    check_cuda(cudaMemcpyAsync(copy, host, bytes, cudaMemcpyHostToDevice, memory_.stream_),
               "copying to the device");
  return copy;
}

void Operation::download_bytes(void* host, const void* device, size_t bytes) {
  if (bytes == 0) return;
  memory_.check_not_recording("writes the host's memory");
  check_cuda(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, memory_.stream_),
             "copying from the device");
  check_cuda(cudaStreamSynchronize(memory_.stream_), "running kernels");
}

void Operation::finish() {
  if (results_.empty()) return;
  memory_.check_not_recording("writes the host's memory");
  for (const Result& result : results_) {
    const size_t pitch = static_cast<size_t>(result.stride) * sizeof(float);
    check_cuda(cudaMemcpy2DAsync(result.host, pitch, result.device, pitch,
                                 static_cast<size_t>(result.width) * sizeof(float),
                                 static_cast<size_t>(result.rows), cudaMemcpyDeviceToHost, memory_.stream_),
               "copying from the device");
  }
  check_cuda(cudaStreamSynchronize(memory_.stream_), "running kernels");
}

}  // namespace albert::cuda
