// The heads in training: from hidden rows and labels to a loss, and from the loss back to hidden rows.
#pragma once

#include <optional>
#include <vector>

#include "albert/batch.h"
#include "albert/config.h"
#include "albert/workspace.h"
#include "answer_beam.h"
#include "encoder.h"
#include "labels.h"
#include "linear.h"
#include "norm.h"
#include "parameters.h"

namespace albert {

class TrainingHeads {
 public:
  // `precision`: of the product with the vocabulary; those of other heads are fp32. With class_weights, a
  // classifier's cross-entropy is a mean weighted by those of its labels. logit_bytes: as TrainingOptions has
  // it.
  TrainingHeads(const Config& config, Head head, std::vector<float> class_weights, int64_t logit_bytes,
                Precision precision, ParameterSet& weights, ParameterSet& gradients, Backend& backend);
  void repack();

  // The loss of a batch whose last hidden state is x [result rows, row_stride(H)]; adds the gradients of the
  // head's parameters and writes that of x to dx, likewise; with dx null it does neither. The means are those
  // of Hugging Face's heads, except that masked positions are no labels and no answers.
  Losses forward_backward(float* dx, const float* x, const PackedBatch& batch, const LabelledBatch& labels,
                          const DropoutPlaces& dropout, float classifier_dropout);

  size_t activation_bytes() const {
    return workspace_.bytes() + (answer_beam_ ? answer_beam_->activation_bytes() : 0);
  }

 private:
  struct Selected {
    std::vector<int32_t> rows, labels;
  };
  Selected labelled_rows(const PackedBatch& batch, const LabelledBatch& labels) const;
  std::vector<float> shares_of(const std::vector<int32_t>& labels) const;
  // Adds the cross-entropy of rows of logits [rows, width], which become their gradient, to a mean.
  void add_cross_entropy(LossPart& part, float* logits, const int32_t* labels, const float* shares,
                         int64_t width, int64_t rows);
  // The mean over all labels.
  LossPart cross_entropy(const char* name, float* logits, const std::vector<int32_t>& labels, int64_t width);
  int64_t logit_rows(int64_t rows) const;
  LossPart language_loss(float* dx, const float* x, const Selected& selected);
  LossPart token_loss(float* dx, const float* x, const Selected& selected, const Dropout& dropout);
  LossPart answer_loss(float* dx, const float* x, const PackedBatch& batch, const LabelledBatch& labels);
  LossPart pooled_loss(float* dx, const float* x, const PackedBatch& batch, const LabelledBatch& labels,
                       const Dropout& dropout);
  LossPart classifier_loss(float* logits, const LabelledBatch& labels, int64_t count);
  void gather(float* y, const float* x, const std::vector<int32_t>& rows) const;
  void scatter_add(float* x, const float* y, const std::vector<int32_t>& rows) const;

  const Config& config_;
  Head head_;
  std::vector<float> class_weights_;
  int64_t logit_bytes_;
  Backend& backend_;
  Workspace workspace_;
  std::optional<TrainingLinear> pooler_, classifier_, transform_, decoder_;
  std::optional<TrainingNorm> transform_norm_;
  std::optional<TrainingAnswerBeam> answer_beam_;
};

}  // namespace albert
