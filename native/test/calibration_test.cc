// Ranges of product inputs: what is observed, the formats that follow, and files that do not fit.
#include "albert/calibration.h"

#include <cstdio>

#include "support/error.h"
#include "support/safetensors.h"
#include "test.h"

namespace albert {
namespace {

Config config_of(int32_t hidden, int32_t layers) {
  Config config;
  config.embedding_size = 4;
  config.hidden_size = hidden;
  config.num_hidden_layers = layers;
  config.num_attention_heads = 1;
  config.intermediate_size = 2 * hidden;
  return config;
}

// Rows of ones, one of whose columns reaches further.
void observe_peak(Calibration& calibration, int64_t block, int64_t width, int64_t column, float peak) {
  std::vector<float> rows(static_cast<size_t>(3 * row_stride(width)), 1.0f);
  rows[static_cast<size_t>(row_stride(width) + column)] = peak;
  calibration.observe(ProductInput::kFeedForward, block, rows.data(), 3);
}

// Whether loading the file fails with these words.
bool refuses(Calibration& calibration, const std::string& path, const Weights& weights, const char* words) {
  return test::refusal([&] { calibration.load(path, weights); }, ErrorCode::kCheckpoint).find(words) !=
         std::string::npos;
}

}  // namespace

TEST(calibration_formats_by_the_widest_of_its_blocks) {
  Calibration calibration(config_of(9, 3));
  observe_peak(calibration, 0, 9, 2, -3);
  observe_peak(calibration, 1, 9, 2, 2);
  observe_peak(calibration, 2, 9, 8, 60);
  const LinearFormat both = calibration.format(ProductInput::kFeedForward, {0, 1});
  EXPECT(both.precision == Precision::kInt8 && both.outliers.empty(), both.outliers.size());
  EXPECT(both.spread.size() == 9 && both.spread[2] == 2 && both.spread[8] == 1, both.spread[2]);
  const LinearFormat all = calibration.format(ProductInput::kFeedForward, {0, 1, 2});
  EXPECT(all.outliers == std::vector<int32_t>{8}, all.outliers.size());
  EXPECT(all.spread[8] == 40, all.spread[8]);
  const LinearFormat unknown = calibration.format(ProductInput::kInner, {0});
  EXPECT(unknown.spread.empty() && unknown.outliers.empty(), "of an input never seen");
}

TEST(calibration_keeps_no_more_outliers_than_a_layer_may_have) {
  Calibration calibration(config_of(300, 1));
  for (int64_t column = 0; column < 100; ++column)
    observe_peak(calibration, 0, 300, column, 100 + static_cast<float>(column));
  const LinearFormat format = calibration.format(ProductInput::kFeedForward, {0});
  EXPECT(format.outliers.size() == kMaxOutliers, format.outliers.size());
  EXPECT(format.outliers.front() == 100 - static_cast<int32_t>(kMaxOutliers) && format.outliers.back() == 99,
         format.outliers.front());
}

TEST(calibration_files) {
  const Config config = config_of(9, 2);
  const std::unique_ptr<Weights> weights = Weights::create(config, Head::kBase, 1);
  Calibration written(config);
  observe_peak(written, 1, 9, 4, 30);
  const std::string path = test::temporary("calibration");
  written.save(path, *weights);
  Calibration read(config);
  read.load(path, *weights);
  const auto format_of = [](const Calibration& calibration) {
    return calibration.format(ProductInput::kFeedForward, {1});
  };
  EXPECT(format_of(read).spread == format_of(written).spread, "ranges changed on the way");
  EXPECT(format_of(read).outliers == std::vector<int32_t>{4}, "outliers changed on the way");

  const auto trained = [&](float gain) {
    std::vector<Parameter> values = weights->all();
    const std::vector<float> gains(9, gain);
    for (Parameter& parameter : values)
      if (parameter.name.find("full_layer_layer_norm.weight") != std::string::npos)
        parameter.data = gains.data();
    return Weights::copy(config, Head::kBase, values);
  };
  read.load(path, *trained(0.998f));  // rounded to 16 bits
  EXPECT(refuses(read, path, *trained(0.98f),
                 "to be 1 in column 0 but this model has 0.98; it was not written for"),
         "trained on");
  Calibration other(config_of(10, 2));
  EXPECT(refuses(other, path, *weights, "expected a tensor 'block' of F32 [2, 10] but found F32 [2, 9]"),
         "another model's");
  const float values[4] = {1, -1, 0, 0};
  write_safetensors(
      path, {{"embeddings", DType::kF32, {1, 4}, reinterpret_cast<const uint8_t*>(values), sizeof values}});
  EXPECT(refuses(read, path, *weights, "holds -1; expected magnitudes"), "no magnitude");
  std::remove(path.c_str());
}

}  // namespace albert
