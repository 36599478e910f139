// The head that the ALBERT release has for SQuAD 2.0: starts of answers, ends that see a start, and a score
// of there being no answer (create_v2_model in squad_utils.py of google-research/albert).
#pragma once

#include <memory>
#include <vector>

#include "batch.h"
#include "config.h"
#include "ops.h"
#include "placed_weights.h"
#include "weights.h"
#include "workspace.h"

namespace albert {

constexpr int64_t kTopStarts = 5, kTopEnds = 5;
// The log-probability of an entry of the beam for which there is no token.
constexpr float kNoToken = -1e30f;

// The rows of a sequence that may be answers, counted from its first: the [CLS] that stands for no answer,
// and the context, which is what has type 1, without the separator at its end.
std::vector<int32_t> answer_rows(const PackedBatch& batch, int64_t sequence);

// softmax of `count` logits, in double
std::vector<double> answer_probabilities(const float* logits, int64_t count);

struct AnswerBeamWeights {
  AnswerBeamWeights(const Config& config, const Weights& weights, Backend& backend);
  size_t bytes() const;

  std::unique_ptr<PackedLinear> start;                 // H -> 1
  std::unique_ptr<PackedLinear> end_token, end_start;  // H -> H each: the halves of 2H -> H
  LayerNormWeights end_norm;                           // over H
  std::unique_ptr<PackedLinear> end;                   // H -> 1
  std::unique_ptr<PackedLinear> class_hidden;          // 2H -> H
  std::unique_ptr<PackedLinear> class_logit;           // H -> 1, no bias

 private:
  PlacedWeights placed_;
};

// Log-probabilities and positions, best first, among equals the earlier; kNoToken and 0 where there are fewer
// tokens. Positions are floats because outputs are.
struct AnswerBeam {
  float *start_log_probs, *start_index;  // [kTopStarts]
  float *end_log_probs, *end_index;      // [kTopStarts, kTopEnds] the ends of each start
};

// The beam of one sequence. Ends are scored by dense_1(LayerNorm(tanh(dense_0([token; start])))), where the
// part of dense_0 that sees the token is the same for all starts and computed once.
void answer_beam_forward(Backend& backend, const AnswerBeam& beam,
                         float* expectation,                // [H] of a row, over the probabilities of starts
                         const float* x,                    // [N, row_stride(H)]
                         const std::vector<int32_t>& rows,  // of x: those that may be answers
                         const std::vector<int32_t>& positions, const AnswerBeamWeights& weights,
                         Workspace& workspace);

// y = tanh(x W^T + b) U^T, x the expectation and the first row of each sequence.
void answer_class_forward(Backend& backend, float* y,  // [rows]
                          const float* x,              // [rows, row_stride(2H)]
                          const AnswerBeamWeights& weights, Workspace& workspace, int64_t rows);

}  // namespace albert
