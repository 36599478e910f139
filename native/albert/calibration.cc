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

// What a file knows its weights by, and how far it may be off: weights may have been saved in 16 bits since.
constexpr const char* kGain = "encoder.albert_layer_groups.0.albert_layers.0.full_layer_layer_norm.weight";
constexpr float kRounding = 1.0f / 256;
constexpr const char* kAnotherModels =
    "it was not written for this model: write it again with albert quantize, or remove it";

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

void Calibration::save(const std::string& path, const Weights& weights) const {
  std::vector<StoredTensor> tensors;
  const auto add = [&](const char* name, const std::vector<int64_t>& shape, const float* values,
                       size_t count) {
    tensors.push_back(
        {name, DType::kF32, shape, reinterpret_cast<const uint8_t*>(values), count * sizeof(float)});
  };
  for (const Ranges& ranges : ranges_)
    add(ranges.name, {ranges.blocks, ranges.width}, ranges.values.data(), ranges.values.size());
  const Parameter gain = weights.lookup(kGain);
  add(kGain, gain.shape, gain.data, static_cast<size_t>(gain.count()));
  write_safetensors(path, tensors);
}

void Calibration::load(const std::string& path, const Weights& weights) {
  const TensorFile file = TensorFile::open(path);
  const auto of_file = [&](const char* name, const std::vector<int64_t>& shape) -> const StoredTensor& {
    return file.require(name, DType::kF32, &shape, kAnotherModels);
  };
  for (Ranges& ranges : ranges_) {
    widen(of_file(ranges.name, {ranges.blocks, ranges.width}), ranges.values.data());
    for (const float value : ranges.values)
      check(std::isfinite(value) && value >= 0, ErrorCode::kCheckpoint, path, ": tensor '", ranges.name,
            "' holds ", value, "; expected magnitudes: write the file again with albert quantize");
  }
  const Parameter gain = weights.lookup(kGain);
  std::vector<float> written(static_cast<size_t>(gain.count()));
  widen(of_file(kGain, gain.shape), written.data());
  for (size_t i = 0; i < written.size(); ++i)
    check(std::fabs(written[i] - gain.data[i]) <= kRounding * std::fabs(written[i]), ErrorCode::kCheckpoint,
          path, ": expected ", kGain, " to be ", written[i], " in column ", i, " but this model has ",
          gain.data[i], "; ", kAnotherModels);
}

}  // namespace albert
