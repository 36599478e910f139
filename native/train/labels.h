// A batch with what its model should have said, and how far off it was.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "albert/batch.h"
#include "albert/config.h"

namespace albert {

// A label that takes no part in the loss, as in Hugging Face.
constexpr int32_t kIgnoredLabel = -100;

// Whether a label belongs to a token rather than to a sequence.
bool labels_tokens(Head head);

struct LabelledBatch {
  SequenceBatch sequences;
  // Language and token heads: one a token. Sequence classification: one a sequence. Multiple choice: one an
  // example.
  std::vector<int32_t> labels;
  std::vector<float> targets;       // regression and multi-label: [B, num_labels]
  std::vector<int32_t> sop_labels;  // pre-training: [B], or empty for masked words alone
  // Question answering: [B]; a position outside of its sequence takes no part, with a beam neither one that
  // may not be an answer.
  std::vector<int32_t> start_positions, end_positions;
  std::vector<int32_t> is_impossible;  // with a beam: [B] 1 where there is no answer, at position 0 then

  // Throws Error{kInvalidArgument} when labels are missing for this head, too many, or out of range, and what
  // the sequences alone would throw.
  void validate(const Config& config, Head head) const;
  // (sequence, position) of every token with a label, as BatchItem::pairs; none unless the head labels
  // tokens.
  std::vector<int32_t> labelled_positions(Head head) const;
};

// One part of a loss: a mean over `count` labels, of which `hits` were predicted.
struct LossPart {
  // 'mlm_loss', 'sop_loss'; 'answer_loss' and half of the mean as 'impossible_loss'; or 'loss' where there is
  // one part
  std::string name;
  double mean = 0;
  int64_t count = 0, hits = 0;
};

struct Losses {
  double total = 0;  // the sum of the parts' means
  std::vector<LossPart> parts;
};

}  // namespace albert
