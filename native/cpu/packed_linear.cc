// Transposes checkpoint weights [out, in] into column panels, rounded to the precision of the product.
#include "cpu/packed_linear.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "cpu/memory.h"

namespace albert::cpu {
namespace {

// Inputs that hardly spread are not blown up, and none is shrunk out of sight.
constexpr float kSmallestSpread = 1e-3f, kLargestSpread = 1e3f;

}  // namespace

CpuPackedLinear::CpuPackedLinear(const std::vector<LinearSource>& sources, int64_t width,
                                 const LinearFormat& format, bool transposed, const Kernels& kernels)
    : kernels_(kernels), transposed_(transposed), panel_width_(kernels.panel_width) {
  in = width;
  precision = format.precision;
  for (const LinearSource& source : sources) out += source.out;
  if (transposed) std::swap(in, out);
  panel_count_ = (out + panel_width_ - 1) / panel_width_;
  const size_t columns = static_cast<size_t>(panel_count_ * panel_width_);
  const size_t lanes = columns * static_cast<size_t>(depth());
  const size_t vectors = columns * static_cast<size_t>(side_vectors());
  bytes = lanes * sizeof(Lane) + vectors * sizeof(float);
  panels_.reset(reinterpret_cast<Lane*>(allocate_floats(lanes)));
  columns_.reset(allocate_floats(vectors));
  if (transposed) std::fill_n(columns_.get(), vectors, 0.0f);
  if (precision != Precision::kInt8 || (format.spread.empty() && format.outliers.empty())) return;
  outliers_ = format.outliers;
  for (int64_t k = 0; k < in; ++k) {
    const float spread =
        format.spread.empty() ? 1 : std::clamp(format.spread[k], kSmallestSpread, kLargestSpread);
    factors_.push_back(std::sqrt(spread));
    input_scale_.push_back(1 / factors_.back());
  }
  for (const int32_t k : outliers_) factors_[k] = input_scale_[k] = 0;
  if (outliers_.empty()) return;
  const size_t outlier_lanes = columns * static_cast<size_t>(outlier_depth());
  outlier_panels_.reset(reinterpret_cast<Lane*>(allocate_floats(outlier_lanes)));
  bytes += outlier_lanes * sizeof(Lane);
}

// A row of W is a row of the panel already.
void CpuPackedLinear::fill_transposed(const std::vector<LinearSource>& sources, int64_t panel) {
  std::vector<const float*> rows;
  for (const LinearSource& source : sources)
    for (int64_t r = 0; r < source.out; ++r) rows.push_back(source.weight + r * out);
  const int64_t begin = panel * panel_width_;
  kernels_.panel_of_rows[static_cast<int>(precision)](panels_.get() + panel * depth() * panel_width_,
                                                      rows.data(), in, begin,
                                                      std::min(panel_width_, out - begin));
}

void CpuPackedLinear::fill(const std::vector<LinearSource>& sources, int64_t panel) {
  if (transposed_) return fill_transposed(sources, panel);
  const int64_t begin = panel * panel_width_, columns = std::min(panel_width_, out - begin);
  std::vector<const float*> rows;  // of the checkpoint, one for each column of the panel
  int64_t first = 0;               // column of the source's first row
  for (const LinearSource& source : sources) {
    for (int64_t c = std::max(begin, first); c < std::min(begin + columns, first + source.out); ++c) {
      rows.push_back(source.weight + (c - first) * in);
      columns_[c] = source.bias ? source.bias[c - first] : 0;
    }
    first += source.out;
  }
  Lane* lanes = panels_.get() + panel * depth() * panel_width_;
  if (columns < panel_width_) {
    std::fill_n(lanes, depth() * panel_width_, 0);
    for (int64_t vector = 0; vector < side_vectors(); ++vector)
      std::fill_n(columns_.get() + vector * panel_count_ * panel_width_ + begin + columns,
                  panel_width_ - columns, 0.0f);
  }

  // Each column as a row of lanes: fp32 weights are lanes already.
  std::vector<Lane> rounded;
  std::vector<const Lane*> column_lanes;
  if (precision != Precision::kFp32) rounded.resize(rows.size() * static_cast<size_t>(depth()));
  for (size_t c = 0; c < rows.size(); ++c) {
    if (precision == Precision::kFp32) {
      column_lanes.push_back(reinterpret_cast<const Lane*>(rows[c]));
      continue;
    }
    WeightTask task{rows[c], factors_.empty() ? nullptr : factors_.data(),
                    in,      rounded.data() + c * static_cast<size_t>(depth()),
                    0,       0};
    kernels_.weights[static_cast<int>(precision)](task);
    column_lanes.push_back(task.lanes);
    if (precision != Precision::kInt8) continue;
    const int64_t stride = panel_count_ * panel_width_, at = begin + static_cast<int64_t>(c);
    columns_[stride + at] = task.scale;
    columns_[2 * stride + at] = task.sum;
  }
  transpose(lanes, column_lanes, depth());
  if (outlier_panels_) fill_outliers(rows, panel);
}

void CpuPackedLinear::fill_outliers(const std::vector<const float*>& rows, int64_t panel) {
  const int64_t count = static_cast<int64_t>(outliers_.size());
  Lane* lanes = outlier_panels_.get() + panel * outlier_depth() * panel_width_;
  std::fill_n(lanes, outlier_depth() * panel_width_, 0);
  std::vector<float> weights(outliers_.size());
  std::vector<Lane> rounded(rows.size() * static_cast<size_t>(outlier_depth()));
  std::vector<const Lane*> columns;
  for (size_t c = 0; c < rows.size(); ++c) {
    for (size_t i = 0; i < outliers_.size(); ++i) weights[i] = rows[c][outliers_[i]];
    WeightTask task{
        weights.data(), nullptr, count, rounded.data() + c * static_cast<size_t>(outlier_depth()), 0, 0};
    kernels_.weights[static_cast<int>(Precision::kBf16)](task);
    columns.push_back(task.lanes);
  }
  transpose(lanes, columns, outlier_depth());
}

// lanes[l][c] = columns[c][l], in squares of a vector's width, the rest one by one.
void CpuPackedLinear::transpose(Lane* lanes, std::vector<const Lane*>& columns, int64_t depth) const {
  const int64_t width = kernels_.vector_width, count = static_cast<int64_t>(columns.size());
  const int64_t whole_depth = depth / width * width, whole_columns = count / width * width;
  const auto copy = [&](int64_t l, int64_t c) {
    std::memcpy(lanes + l * panel_width_ + c, columns[c] + l, sizeof(Lane));
  };
  for (int64_t c = whole_columns; c < count; ++c)
    for (int64_t l = 0; l < depth; ++l) copy(l, c);
  for (int64_t c = 0; c < whole_columns; ++c)
    for (int64_t l = whole_depth; l < depth; ++l) copy(l, c);
  for (int64_t l = 0; l < whole_depth; l += width) {
    for (int64_t c = 0; c < whole_columns; c += width)
      kernels_.transpose(lanes + l * panel_width_ + c, panel_width_, columns.data() + c);
    for (const Lane*& column : columns) column += width;
  }
}

LinearTask CpuPackedLinear::task() const {
  const int64_t columns = panel_count_ * panel_width_;
  LinearTask task{};
  task.panels = panels_.get();
  task.bias = columns_.get();
  if (precision == Precision::kInt8) {
    task.column_scale = columns_.get() + columns;
    task.column_sum = columns_.get() + 2 * columns;
  }
  task.outlier_panels = outlier_panels_.get();
  task.outlier_depth = outlier_depth();
  task.outlier_stride = outlier_depth() * kernels_.bf16_row_lanes;
  task.depth = depth();
  task.out = out;
  task.panel_end = panel_count_;
  return task;
}

}  // namespace albert::cpu
