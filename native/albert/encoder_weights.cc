// Packing of the encoder's weights.
#include "encoder_weights.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "folded_linear.h"

namespace albert {
namespace {

// In which form weights are kept for the inputs that they will multiply: what calibration says of an input,
// else what is known without, how its LayerNorm spreads it.
class InputFormats {
 public:
  InputFormats(const Config& config, const Weights& weights, Precision precision,
               const Calibration* calibration)
      : config_(config), weights_(weights), precision_(precision), calibration_(calibration) {}

  LinearFormat of_embeddings() const {
    return format(ProductInput::kEmbeddings, {0}, {"embeddings.LayerNorm"}, config_.embedding_size);
  }
  // Of half k of a group of attention.
  LinearFormat of_block(int32_t group, int32_t k) const {
    const int32_t before = (k + config_.inner_group_num - 1) % config_.inner_group_num;
    return format(ProductInput::kBlock, blocks_of(&Config::attention_group, group, k),
                  norms_before("full_layer_layer_norm", config_.attention_groups(), group, before),
                  config_.hidden_size);
  }
  LinearFormat of_context(int32_t group, int32_t k) const {
    return format(ProductInput::kContext, blocks_of(&Config::attention_group, group, k), {}, 0);
  }
  // Of half k of a group of feed-forward parts.
  LinearFormat of_feed_forward(int32_t group, int32_t k) const {
    return format(ProductInput::kFeedForward, blocks_of(&Config::feed_forward_group, group, k),
                  norms_before("attention.LayerNorm", config_.feed_forward_groups(), group, k),
                  config_.hidden_size);
  }
  LinearFormat of_inner(int32_t group, int32_t k) const {
    return format(ProductInput::kInner, blocks_of(&Config::feed_forward_group, group, k), {}, 0);
  }

 private:
  LinearFormat format(ProductInput input, const std::vector<int64_t>& blocks,
                      const std::vector<std::string>& norms, int64_t width) const {
    if (calibration_) return calibration_->format(input, blocks);
    return {precision_, spread_of(norms, width), {}};
  }

  // How far each column of LayerNorm's rows spreads around zero: its normal values have deviation one. Of
  // several norms, the widest spread of each column.
  std::vector<float> spread_of(const std::vector<std::string>& norms, int64_t width) const {
    std::vector<float> spread(static_cast<size_t>(width));
    for (const std::string& norm : norms) {
      const float *weight = weights_.data(norm + ".weight"), *bias = weights_.data(norm + ".bias");
      for (int64_t i = 0; i < width; ++i)
        spread[i] = std::max(spread[i], std::sqrt(weight[i] * weight[i] + bias[i] * bias[i]));
    }
    return spread;
  }

  // The norms that one of `sets` halves of a block may get its rows from, which the other half has: that of
  // its own group, or those of all groups where the groups share this half.
  std::vector<std::string> norms_before(const char* other, int32_t sets, int32_t group, int32_t k) const {
    const bool own = sets == config_.num_hidden_groups;
    std::vector<std::string> norms;
    for (int32_t g = own ? group : 0; g < (own ? group + 1 : config_.num_hidden_groups); ++g)
      norms.push_back(block_name(g, k) + other);
    return norms;
  }

  // The blocks that use half k of a group, told by the group of each layer.
  std::vector<int64_t> blocks_of(int32_t (Config::*group_of_layer)(int32_t) const, int32_t group,
                                 int32_t k) const {
    std::vector<int64_t> blocks;
    for (int32_t layer = 0; layer < config_.num_hidden_layers; ++layer)
      if ((config_.*group_of_layer)(layer) == group)
        blocks.push_back(int64_t{layer} * config_.inner_group_num + k);
    return blocks;
  }

  const Config& config_;
  const Weights& weights_;
  const Precision precision_;
  const Calibration* const calibration_;
};

}  // namespace

EncoderWeights::EncoderWeights(const Config& config, const Weights& weights, Precision precision,
                               const Calibration* calibration, Backend& backend)
    : placed_(backend) {
  const int64_t embedding_width = config.embedding_size, hidden = config.hidden_size,
                inner = config.intermediate_size;
  const InputFormats formats(config, weights, precision, calibration);
  const auto place = [&](const char* name, int64_t rows) {
    return placed_.place(weights.data(name), rows * embedding_width);
  };
  const auto norm = [&](const std::string& name, int64_t width) {
    return placed_.place_norm(weights, name, config.layer_norm_eps, width);
  };
  const auto source = [&](const std::string& name, int64_t out) {
    return LinearSource{weights.data(name + ".weight"), weights.data(name + ".bias"), out};
  };
  const auto qkv_sources = [&](const std::string& block) {
    return std::vector<LinearSource>{source(block + "attention.query", hidden),
                                     source(block + "attention.key", hidden),
                                     source(block + "attention.value", hidden)};
  };

  embedding.word = place("embeddings.word_embeddings.weight", config.vocab_size);
  embedding.position = place("embeddings.position_embeddings.weight", config.max_position_embeddings);
  embedding.type = place("embeddings.token_type_embeddings.weight", config.type_vocab_size);
  embedding.norm = norm("embeddings.LayerNorm", embedding_width);
  embedding.width = embedding_width;
  const LinearSource map_source = source("encoder.embedding_hidden_mapping_in", hidden);
  const LinearFormat of_embeddings = formats.of_embeddings();
  map = backend.pack({map_source}, embedding_width, of_embeddings);
  if (embedding_width < hidden) {
    const FoldedLinear folded(map_source, embedding_width, qkv_sources(block_name(0, 0)), hidden, backend);
    first_qkv = backend.pack({folded.source()}, embedding_width, of_embeddings);
  }

  for (int32_t group = 0; group < config.attention_groups(); ++group)
    for (int32_t k = 0; k < config.inner_group_num; ++k) {
      const std::string block = block_name(group, k);
      attention.push_back(
          {backend.pack(qkv_sources(block), hidden, formats.of_block(group, k)),
           backend.pack({source(block + "attention.dense", hidden)}, hidden, formats.of_context(group, k)),
           norm(block + "attention.LayerNorm", hidden)});
    }
  for (int32_t group = 0; group < config.feed_forward_groups(); ++group)
    for (int32_t k = 0; k < config.inner_group_num; ++k) {
      const std::string block = block_name(group, k);
      feed_forward.push_back(
          {backend.pack({source(block + "ffn", inner)}, hidden, formats.of_feed_forward(group, k)),
           backend.pack({source(block + "ffn_output", hidden)}, inner, formats.of_inner(group, k)),
           norm(block + "full_layer_layer_norm", hidden)});
    }
}

size_t EncoderWeights::bytes() const {
  size_t total = placed_.bytes() + map->bytes + (first_qkv ? first_qkv->bytes : 0);
  for (const AttentionWeights& half : attention) total += half.qkv->bytes + half.output->bytes;
  for (const FeedForwardWeights& half : feed_forward) total += half.up->bytes + half.down->bytes;
  return total;
}

}  // namespace albert
