// How far the inputs of the encoder's products reach on texts of a user's own: what int8 products are fitted
// to.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "config.h"
#include "ops.h"
#include "weights.h"

namespace albert {

// What the encoder multiplies by weights: the embeddings, and in each block the residual stream, the context
// of attention, the stream again and the inner activations.
enum class ProductInput { kEmbeddings, kBlock, kContext, kFeedForward, kInner };

// The largest magnitude of each column of each input in each block, of which there are L * inner_group_num.
class Calibration {
 public:
  explicit Calibration(const Config& config);  // of no text yet: zeros

  // Widens the ranges of a block by rows of its input, [rows, row_stride(width)]. From any thread.
  void observe(ProductInput input, int64_t block, const float* x, int64_t rows);

  // How an int8 layer is kept that reads this input in these blocks. Columns that reach beyond the others are
  // scaled down, and those that reach far beyond stay bf16.
  LinearFormat format(ProductInput input, const std::vector<int64_t>& blocks) const;

  // A safetensors file of one F32 tensor [blocks, width] for each input, and of what it knows the weights by:
  // a LayerNorm's gain, which training moves. Both throw Error{kCheckpoint}, load for a file of another model
  // too.
  void save(const std::string& path, const Weights& weights) const;
  void load(const std::string& path, const Weights& weights);

 private:
  struct Ranges {
    const char* name;
    int64_t blocks, width;
    std::vector<float> values;  // [blocks, width]
  };
  std::vector<Ranges> ranges_;  // by ProductInput
  std::mutex mutex_;
};

}  // namespace albert
