// The ALBERT encoder: embeddings, then one group of weights applied layer after layer.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "batch.h"
#include "calibration.h"
#include "config.h"
#include "ops.h"
#include "placed_weights.h"
#include "weights.h"
#include "workspace.h"

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

// What a caller may look at besides the result; null pointers where nothing is asked.
struct EncoderTaps {
  float* hidden_states = nullptr;  // [L + 1, N, H]: the mapped embeddings, then every layer
  float* attentions = nullptr;     // [L * inner, total]: per sequence [A, rows, keys], one after another
  std::vector<int64_t> attention_begin;  // [B + 1] where sequences would begin if there were one head
  Calibration* calibration = nullptr;    // observes every input; fp32 on the host only
};

// Runs the encoder over a packed batch. Returns [result rows, row_stride(H)] in the workspace's memory, valid
// until its next layout, or null when `cancelled` (polled between layers) said so. Sources: Lan et al. 2019
// (arXiv 1909.11942) and the released ALBERT code. The taps need a batch without a selection of rows.
const float* encoder_forward(Backend& backend, const Config& config, const EncoderWeights& weights,
                             const PackedBatch& batch, Workspace& workspace, const EncoderTaps& taps,
                             const std::function<bool()>& cancelled);

}  // namespace albert
