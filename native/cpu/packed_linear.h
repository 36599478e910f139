// Weights of a linear layer in the order in which the product kernels read them: column panels, whole depth
// each.
#pragma once

#include <memory>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/memory.h"
#include "ops.h"

namespace albert::cpu {

class CpuPackedLinear final : public PackedLinear {
 public:
  // transposed: x = y W, from the sources' stacked output to their input `in`, without a bias.
  CpuPackedLinear(const std::vector<LinearSource>& sources, int64_t in, const LinearFormat& format,
                  bool transposed, const Kernels& kernels);

  // Fills panel `panel` from the sources that the constructor saw, or from new values of them. Panels are
  // independent of each other.
  void fill(const std::vector<LinearSource>& sources, int64_t panel);

  // A task for all panels; the caller fills in rows and epilogue.
  LinearTask task() const;
  int64_t panel_count() const { return panel_count_; }
  int64_t depth() const { return lanes_of(in, precision); }  // lanes of a panel
  int64_t row_lanes() const { return depth() * kernels_.row_lanes(precision); }
  const float* input_scale() const { return input_scale_.empty() ? nullptr : input_scale_.data(); }
  const std::vector<int32_t>& outliers() const { return outliers_; }

 private:
  void fill_transposed(const std::vector<LinearSource>& sources, int64_t panel);
  void fill_outliers(const std::vector<const float*>& rows, int64_t panel);
  int64_t outlier_depth() const { return lanes_of(static_cast<int64_t>(outliers_.size()), Precision::kBf16); }
  void transpose(Lane* lanes, std::vector<const Lane*>& columns, int64_t depth) const;
  int64_t side_vectors() const { return precision == Precision::kInt8 ? 3 : 1; }

  struct Release {
    void operator()(void* memory) const { release_floats(static_cast<float*>(memory)); }
  };

  const Kernels& kernels_;
  bool transposed_;
  int64_t panel_width_, panel_count_;
  std::unique_ptr<Lane[], Release> panels_;  // [panel][depth][panel_width]
  // Bias, and for int8 scale and sum, [panel_count * panel_width] each.
  std::unique_ptr<float[], Release> columns_;
  std::vector<float> input_scale_;  // [in], or empty: factors of the inputs, zero for outliers
  std::vector<float> factors_;      // [in], or empty: of the weights
  std::vector<int32_t> outliers_;   // inputs that stay bf16
  std::unique_ptr<Lane[], Release> outlier_panels_;  // [panel][outlier_depth()][panel_width] bf16
};

}  // namespace albert::cpu
