// Weights that operations read as they are, where a backend reads them: the host's memory itself, or copies
// of it.
#pragma once

#include <string>
#include <vector>

#include "ops.h"
#include "weights.h"

namespace albert {

class PlacedWeights {
 public:
  explicit PlacedWeights(Backend& backend) : backend_(backend) {}
  ~PlacedWeights() {
    for (float* copy : copies_) backend_.release(copy);
  }
  PlacedWeights(const PlacedWeights&) = delete;
  PlacedWeights& operator=(const PlacedWeights&) = delete;

  // `host` must outlive this object where the backend computes on the host.
  const float* place(const float* host, int64_t floats) {
    if (backend_.computes_on_host()) return host;
    copies_.push_back(backend_.allocate(static_cast<size_t>(floats)));
    backend_.upload(copies_.back(), host, static_cast<size_t>(floats));
    bytes_ += static_cast<size_t>(floats) * sizeof(float);
    return copies_.back();
  }
  // The LayerNorm called `name`, likewise.
  LayerNormWeights place_norm(const Weights& weights, const std::string& name, float epsilon, int64_t width) {
    return {place(weights.data(name + ".weight"), width), place(weights.data(name + ".bias"), width),
            epsilon};
  }
  size_t bytes() const { return bytes_; }  // of copies

 private:
  Backend& backend_;
  std::vector<float*> copies_;
  size_t bytes_ = 0;
};

}  // namespace albert
