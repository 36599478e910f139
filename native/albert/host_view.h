// What the host reads of a backend's memory: the memory itself where the host computes, else a copy.
#pragma once

#include <vector>

#include "ops.h"

namespace albert {

class HostView {
 public:
  HostView(Backend& backend, const float* memory, size_t floats) : data_(memory) {
    if (backend.computes_on_host() || floats == 0) return;
    copy_.resize(floats);
    backend.download(copy_.data(), memory, floats);
    data_ = copy_.data();
  }
  HostView(HostView&&) = default;  // the copy keeps its place
  const float* data() const { return data_; }

 private:
  const float* data_;
  std::vector<float> copy_;
};

}  // namespace albert
