// One block of backend memory with a slice for each parameter of a model: weights in training, their
// gradients and their moments all look alike.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "albert/host_view.h"
#include "albert/weights.h"
#include "ops.h"

namespace albert {

// A set as the host reads it.
struct ParameterValues {
  HostView memory;
  std::vector<Parameter> parameters;  // with their values
  // By name without the 'albert.' prefix; throws std::logic_error for a name the model does not have.
  const float* of(std::string_view name) const;
};

class ParameterSet {
 public:
  // Zeros, in the order and the shapes of Weights::all().
  ParameterSet(const std::vector<Parameter>& parameters, Backend& backend);
  ~ParameterSet() { backend_.release(memory_); }
  ParameterSet(const ParameterSet&) = delete;
  ParameterSet& operator=(const ParameterSet&) = delete;

  void clear();
  void copy_from(const std::vector<Parameter>& parameters);  // of the same model

  // Names and shapes, without values.
  const std::vector<Parameter>& all() const { return parameters_; }
  // Until the set changes or ends.
  ParameterValues values() const;
  float* slice(size_t i) { return memory_ + begin_[i]; }
  // All slices, and zeros between them.
  float* memory() { return memory_; }
  int64_t memory_count() const { return static_cast<int64_t>(begin_.back()); }
  int64_t begin(size_t i) const { return static_cast<int64_t>(begin_[i]); }
  // By name without the 'albert.' prefix; throws std::logic_error for a name the model does not have.
  float* of(std::string_view name);

 private:
  Backend& backend_;
  std::vector<Parameter> parameters_;
  std::vector<size_t> begin_;  // [parameters + 1]; slices start on 64 bytes
  std::unordered_map<std::string, size_t> index_;
  float* memory_ = nullptr;
};

}  // namespace albert
