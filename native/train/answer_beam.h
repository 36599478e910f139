// The head of SQuAD 2.0 in training: the answer's start, its end as seen from the right start, and whether
// there is one, with their gradients.
#pragma once

#include <vector>

#include "albert/batch.h"
#include "albert/config.h"
#include "albert/workspace.h"
#include "labels.h"
#include "linear.h"
#include "norm.h"
#include "ops.h"
#include "parameters.h"

namespace albert {

class TrainingAnswerBeam {
 public:
  TrainingAnswerBeam(const Config& config, ParameterSet& weights, ParameterSet& gradients, Backend& backend);
  void repack();

  // The two parts of the loss, (start + end) / 2 and half the binary cross-entropy of the class, means over
  // the sequences that take part. Adds the gradients of the parameters and of x to what is there; with dx
  // null it does neither. `dropout` is that of the class's hidden rows.
  std::vector<LossPart> forward_backward(float* dx,       // [N, row_stride(H)]
                                         const float* x,  // [N, row_stride(H)]
                                         const PackedBatch& batch, const LabelledBatch& labels,
                                         const Dropout& dropout);

  size_t activation_bytes() const {
    return workspace_.bytes() + end_workspace_.bytes() + class_workspace_.bytes();
  }

 private:
  // The rows of one sequence that may be answers, in a list of those of all sequences, and where in them the
  // answer lies; -1 where it takes no part.
  struct Span {
    int64_t begin, length;
    int32_t start, end;
  };
  struct Target {
    int64_t begin, length;
    int32_t answer;
  };
  void find_rows(const PackedBatch& batch, const LabelledBatch& labels);
  // Adds half of the targets' mean cross-entropy to a part; their logits become its gradient.
  void cross_entropy(LossPart& part, float* logits, const std::vector<Target>& targets);
  void start_loss(LossPart& part, float* logits);  // [rows] become their gradient
  // Both add to the gradient of the rows, `dtokens`, unless that is null.
  void end_loss(LossPart& part, float* dtokens, const float* tokens);
  LossPart class_loss(float* dx, float* dtokens, float* dstarts, const float* x, const float* tokens,
                      const std::vector<double>& probabilities, const PackedBatch& batch,
                      const LabelledBatch& labels, const Dropout& dropout);

  const int64_t hidden_, stride_, pair_stride_;  // H, row_stride(H), row_stride(2H)
  Backend& backend_;
  Workspace workspace_, end_workspace_, class_workspace_;
  TrainingLinear start_, end_hidden_, end_, class_hidden_, class_logit_;
  TrainingNorm end_norm_;
  std::vector<float> unused_;  // takes the gradient of LayerNorm's bias

  // Of the batch under way.
  std::vector<int32_t> rows_;  // of x: those that may be answers, sequence by sequence
  std::vector<Span> spans_;    // [B]
};

}  // namespace albert
