// The encoder's weights as a backend multiplies by them, each set once however many layers share it.
#pragma once

#include <memory>
#include <vector>

#include "calibration.h"
#include "config.h"
#include "ops.h"
#include "placed_weights.h"
#include "weights.h"

namespace albert {

// The halves of a transformer block, apart because layers may share one and not the other. L layers share
// both when there is one group.
struct AttentionWeights {
  std::unique_ptr<PackedLinear> qkv;     // H -> 3H
  std::unique_ptr<PackedLinear> output;  // H -> H, the projection of the context
  LayerNormWeights norm;
};
struct FeedForwardWeights {
  std::unique_ptr<PackedLinear> up;    // H -> F
  std::unique_ptr<PackedLinear> down;  // F -> H
  LayerNormWeights norm;
};

struct EncoderWeights {
  // `calibration`: null, or what int8 weights are fitted to.
  EncoderWeights(const Config& config, const Weights& weights, Precision precision,
                 const Calibration* calibration, Backend& backend);
  size_t bytes() const;

  EmbeddingWeights embedding;
  std::unique_ptr<PackedLinear> map;  // E -> H
  // E -> 3H: the first block's qkv after the map, as one product of less depth. Null where E is not below H.
  std::unique_ptr<PackedLinear> first_qkv;
  // Each set of weights once: [Config::attention_group(layer) * inner_group_num + k], and the same with
  // Config::feed_forward_group.
  std::vector<AttentionWeights> attention;       // [attention_groups() * inner_group_num]
  std::vector<FeedForwardWeights> feed_forward;  // [feed_forward_groups() * inner_group_num]

 private:
  PlacedWeights placed_;
};

}  // namespace albert
