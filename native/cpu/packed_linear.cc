// Transposes checkpoint weights [out, in] into column panels.
#include "cpu/packed_linear.h"

#include <algorithm>

#include "cpu/memory.h"

namespace albert::cpu {

CpuPackedLinear::CpuPackedLinear(const std::vector<LinearSource>& sources, int64_t depth,
                                 int64_t panel_width) {
  in = depth;
  out = 0;
  for (const LinearSource& source : sources) out += source.out;
  panel_count_ = (out + panel_width - 1) / panel_width;
  const size_t columns = static_cast<size_t>(panel_count_ * panel_width);
  bytes = (columns * static_cast<size_t>(in) + columns) * sizeof(float);
  panels_ = allocate_floats(columns * static_cast<size_t>(in));
  bias_ = allocate_floats(columns);
  std::fill_n(bias_, columns, 0.0f);
  // Only the last panel has columns past `out`.
  std::fill_n(panels_ + (panel_count_ - 1) * in * panel_width, in * panel_width, 0.0f);

  int64_t column = 0;
  for (const LinearSource& source : sources) {
    if (source.bias) std::copy_n(source.bias, source.out, bias_ + column);
    for (int64_t row = 0; row < source.out; ++row, ++column) {
      const float* from = source.weight + row * in;
      float* to = panels_ + column / panel_width * in * panel_width + column % panel_width;
      for (int64_t k = 0; k < in; ++k) to[k * panel_width] = from[k];
    }
  }
}

CpuPackedLinear::~CpuPackedLinear() {
  release_floats(panels_);
  release_floats(bias_);
}

LinearTask CpuPackedLinear::task() const {
  LinearTask task{};
  task.panels = panels_;
  task.bias = bias_;
  task.in = in;
  task.out = out;
  task.panel_end = panel_count_;
  return task;
}

}  // namespace albert::cpu
