// Activation memory of a backend: one block that grows to the largest batch seen and is handed out in slices.
#pragma once

#include <algorithm>
#include <array>
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

  // Forgets every slice and runs `layout`, which takes new ones, twice: first to measure, when they are null,
  // then with memory for all of them; there is some even for none. Throws Error{kOutOfMemory} and then holds
  // nothing.
  template <typename Layout>
  void lay_out(const Layout& layout) {
    begin_ = nullptr;
    used_ = 0;
    layout();
    reserve(std::max<size_t>(used_, 1));
    begin_ = memory_;
    used_ = 0;
    layout();
  }

  // The next slice of a layout; slices start on 64 bytes.
  float* take(size_t floats) {
    float* slice = begin_ ? begin_ + used_ : nullptr;
    used_ += rounded(floats);
    return slice;
  }

  // A layout of one slice of each of these sizes.
  template <size_t N>
  std::array<float*, N> slices(const int64_t (&floats)[N]) {
    std::array<float*, N> slices{};
    lay_out([&] {
      for (size_t i = 0; i < N; ++i) slices[i] = take(static_cast<size_t>(floats[i]));
    });
    return slices;
  }
  static size_t rounded(size_t floats) { return (floats + 15) / 16 * 16; }

  size_t bytes() const { return capacity_ * sizeof(float); }

 private:
  void reserve(size_t floats) {
    if (floats <= capacity_) return;
    backend_.release(memory_);
    memory_ = nullptr;
    capacity_ = 0;
    memory_ = backend_.allocate(floats, place_);
    capacity_ = floats;
  }

  Backend& backend_;
  Place place_;
  float* memory_ = nullptr;
  size_t capacity_ = 0;
  float* begin_ = nullptr;  // of the layout; null while it is measured
  size_t used_ = 0;
};

}  // namespace albert
