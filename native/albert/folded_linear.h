// Two linear layers, one after the other, as a single one.
#pragma once

#include <memory>
#include <vector>

#include "ops.h"
#include "workspace.h"

namespace albert {

// W = V U, b = V a + c for U x + a, then V y + c, of which V and c may be stacked from several sources.
// Computed on the processor in fp32 whatever the backend: by it, where it computes there.
class FoldedLinear {
 public:
  // first [middle, in], second [out, middle].
  FoldedLinear(const LinearSource& first, int64_t in, const std::vector<LinearSource>& second, int64_t middle,
               Backend& backend);
  LinearSource source() const { return {weight_, bias_.data(), out_}; }  // lives as long as this

 private:
  const std::unique_ptr<Backend> other_;
  Workspace memory_;  // megabytes that a heap would keep
  int64_t out_ = 0;
  float* weight_ = nullptr;
  std::vector<float> bias_;
};

}  // namespace albert
