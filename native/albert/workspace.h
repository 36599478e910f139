// Activation memory of a backend: one block that grows to the largest batch seen and is handed out in slices.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "ops.h"

namespace albert {

class Workspace {
 public:
  explicit Workspace(Backend& backend, Place place = Place::kDevice) : backend_(backend), place_(place) {}
  ~Workspace() { backend_.release(memory_); }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  // Makes room for `floats` and forgets every slice; there is memory even for none. Throws
  // Error{kOutOfMemory} and then holds nothing.
  void reset(size_t floats) {
    used_ = 0;
    floats = std::max<size_t>(floats, 1);
    if (floats <= capacity_) return;
    backend_.release(memory_);
    memory_ = nullptr;
    capacity_ = 0;
    memory_ = backend_.allocate(floats, place_);
    capacity_ = floats;
  }

  // The next slice; slices start on 64 bytes. What reset() was told must cover all of them.
  float* take(size_t floats) {
    float* slice = memory_ + used_;
    used_ += rounded(floats);
    return slice;
  }
  static size_t rounded(size_t floats) { return (floats + 15) / 16 * 16; }

  size_t bytes() const { return capacity_ * sizeof(float); }

 private:
  Backend& backend_;
  Place place_;
  float* memory_ = nullptr;
  size_t capacity_ = 0;
  size_t used_ = 0;
};

}  // namespace albert
