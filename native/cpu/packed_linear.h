// Weights of a linear layer in the order in which the product kernels read them: column panels, whole depth
// each.
#pragma once

#include <vector>

#include "cpu/kernels.h"
#include "ops.h"

namespace albert::cpu {

class CpuPackedLinear final : public PackedLinear {
 public:
  CpuPackedLinear(const std::vector<LinearSource>& sources, int64_t in, int64_t panel_width);
  ~CpuPackedLinear() override;

  // A task for all panels; the caller fills in rows and epilogue.
  LinearTask task() const;
  int64_t panel_count() const { return panel_count_; }

 private:
  int64_t panel_count_;
  float* panels_ = nullptr;  // [panel][in][panel_width]
  float* bias_ = nullptr;    // [panel_count * panel_width]
};

}  // namespace albert::cpu
