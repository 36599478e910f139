// Ranges of the inputs of products: gathered, turned into formats, saved and loaded.
#include "calibration.h"

#include <algorithm>
#include <cmath>

#include "support/error.h"
#include "support/safetensors.h"

namespace albert {
namespace {

// In medians of a layer's ranges: up to here a column is like the others, from here on it stays bf16.
constexpr float kUsual = 1.5f, kOutlier = 6;

}  // namespace

Calibration::Calibration(const Config& config) {
  const int64_t blocks = int64_t{config.num_hidden_layers} * config.inner_group_num;
  const auto add = [&](const char* name, int64_t rows, int64_t width) {
    ranges_.push_back({name, rows, width, std::vector<float>(static_cast<size_t>(rows * width))});
  };
  add("embeddings", 1, config.embedding_size);
  add("block", blocks, config.hidden_size);
  add("context", blocks, config.hidden_size);
  add("feed_forward", blocks, config.hidden_size);
  add("inner", blocks, config.intermediate_size);
}

void Calibration::observe(ProductInput input, int64_t block, const float* x, int64_t rows) {
  Ranges& ranges = ranges_[static_cast<size_t>(input)];
  const int64_t width = ranges.width, stride = row_stride(width);
  std::lock_guard<std::mutex> lock(mutex_);
  float* widest = ranges.values.data() + block * width;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < width; ++i) widest[i] = std::max(widest[i], std::fabs(x[r * stride + i]));
}

LinearFormat Calibration::format(ProductInput input, const std::vector<int64_t>& blocks) const {
  const Ranges& ranges = ranges_[static_cast<size_t>(input)];
  const size_t width = static_cast<size_t>(ranges.width);
  std::vector<float> reach(width);
  for (const int64_t block : blocks)
    for (size_t i = 0; i < width; ++i)
      reach[i] = std::max(reach[i], ranges.values[static_cast<size_t>(block) * width + i]);

  std::vector<float> sorted = reach;
  std::nth_element(sorted.begin(), sorted.begin() + width / 2, sorted.end());
  const float median = sorted[width / 2];
  LinearFormat format{Precision::kInt8, {}, {}};
  if (median == 0) return format;  // of no text: nothing is known
  for (size_t i = 0; i < width; ++i) {
    format.spread.push_back(std::max(1.0f, reach[i] / (kUsual * median)));
    if (reach[i] > kOutlier * median) format.outliers.push_back(static_cast<int32_t>(i));
  }
  if (format.outliers.size() > kMaxOutliers) {
    std::sort(format.outliers.begin(), format.outliers.end(),
              [&](int32_t a, int32_t b) { return reach[a] > reach[b]; });
    format.outliers.resize(kMaxOutliers);
    std::sort(format.outliers.begin(), format.outliers.end());
  }
  return format;
}

void Calibration::save(const std::string& path) const {
  std::vector<StoredTensor> tensors;
  for (const Ranges& ranges : ranges_)
    tensors.push_back({ranges.name,
                       DType::kF32,
                       {ranges.blocks, ranges.width},
                       reinterpret_cast<const uint8_t*>(ranges.values.data()),
                       ranges.values.size() * sizeof(float)});
  write_safetensors(path, tensors);
}

void Calibration::load(const std::string& path) {
  const TensorFile file = TensorFile::open(path);
  for (Ranges& ranges : ranges_) {
    const std::vector<int64_t> shape{ranges.blocks, ranges.width};
    const StoredTensor* tensor = file.find(ranges.name);
    check(tensor && tensor->dtype == DType::kF32 && tensor->shape == shape, ErrorCode::kCheckpoint, path,
          ": expected a tensor '", ranges.name, "' of F32 ", shape_text(shape), " but found ",
          tensor ? str(to_string(tensor->dtype), " ", shape_text(tensor->shape)) : "none",
          "; it was not written for this model: write it again with albert quantize");
    widen(*tensor, ranges.values.data());
    for (const float value : ranges.values)
      check(std::isfinite(value) && value >= 0, ErrorCode::kCheckpoint, path, ": tensor '", ranges.name,
            "' holds ", value, "; expected magnitudes: write the file again with albert quantize");
  }
}

}  // namespace albert
