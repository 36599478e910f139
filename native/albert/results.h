// From the encoder's rows to the outputs each caller asked for: heads, and rows put back where the caller had
// them.
#pragma once

#include <optional>
#include <vector>

#include "batch.h"
#include "encoder.h"
#include "heads.h"
#include "host_view.h"
#include "model.h"

namespace albert {

class Results {
 public:
  // `hidden` is encoder_forward's result for `batch`; all of them must outlive this object.
  Results(Backend& backend, const Config& config, Head head, const HeadWeights& weights,
          const PackedBatch& batch, const float* hidden, const EncoderTaps& taps, Workspace& workspace,
          Workspace& host_workspace);

  // The outputs of one item of the batch.
  ForwardResult of(int64_t item, const ForwardRequest& request);

 private:
  // The sequences of one item and the padded length of its outputs.
  struct Range {
    int64_t first, count, length;
  };
  const float* pooled();       // host [B, row_stride(H)], zeros where a sequence has no row
  const float* host_hidden();  // hidden_, where the host reads it
  int64_t result_begin(int64_t sequence) const;
  // [B, T, width] of the item's sequences from the rows of their tokens, which follow one another in `rows`;
  // rows that no token has become zero.
  OutputTensor token_rows(const char* name, const Range& range, const float* rows, int64_t stride,
                          int64_t width) const;
  OutputTensor first_rows(const Range& range);
  OutputTensor mean_rows(const Range& range);
  OutputTensor pooled_rows(const Range& range);
  OutputTensor pooled_logits(const char* name, const Range& range, int32_t choices);
  void question_logits(ForwardResult& result, const Range& range);
  void answer_beam(ForwardResult& result, const Range& range);
  OutputTensor token_logits(const Range& range);
  OutputTensor language_logits(const char* name, const Range& range, const ForwardRequest& request);
  OutputTensor selected_language_logits(const char* name, const Range& range,
                                        const std::vector<int32_t>& pairs);
  OutputTensor attention_layer(int64_t layer, const Range& range) const;

  Backend& backend_;
  const Config& config_;
  Head head_;
  const HeadWeights& weights_;
  const PackedBatch& batch_;
  const float* hidden_;
  std::optional<HostView> hidden_view_;
  const EncoderTaps& taps_;
  Workspace &workspace_, &host_workspace_;
  std::vector<float> pooled_;  // empty until it is needed
};

}  // namespace albert
