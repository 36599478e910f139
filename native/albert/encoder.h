// The ALBERT encoder: embeddings, then one group of weights applied layer after layer.
#pragma once

#include <functional>
#include <vector>

#include "batch.h"
#include "calibration.h"
#include "config.h"
#include "encoder_weights.h"
#include "ops.h"
#include "workspace.h"

namespace albert {

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
