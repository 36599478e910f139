// The checks of labelled batches.
#include "labels.h"

#include <algorithm>
#include <cmath>

#include "albert/model.h"
#include "support/error.h"

namespace albert {
namespace {

void check_count(const char* name, size_t received, int64_t expected, const char* unit) {
  check(static_cast<int64_t>(received) == expected, ErrorCode::kInvalidArgument, "expected ", expected, " ",
        name, ", one for every ", unit, ", but received ", received);
}

void check_range(const char* name, const std::vector<int32_t>& labels, int32_t classes) {
  for (size_t i = 0; i < labels.size(); ++i)
    check((labels[i] >= 0 && labels[i] < classes) || labels[i] == kIgnoredLabel, ErrorCode::kInvalidArgument,
          "expected ", name, " from 0 to ", classes - 1, ", or -100 for none, but received ", labels[i],
          " at index ", i);
}

}  // namespace

bool labels_tokens(Head head) { return is_language(head) || head == Head::kTokenClassification; }

void LabelledBatch::validate(const Config& config, Head head) const {
  albert::validate(sequences, config, head);
  const int64_t count = static_cast<int64_t>(sequences.lengths.size());
  int64_t tokens = 0;
  for (size_t s = 0; s < sequences.lengths.size(); ++s) {
    const auto mask = sequences.mask.begin() + tokens;
    check(!needs_first_row(head) || sequences.mask.empty() ||
              std::any_of(mask, mask + sequences.lengths[s], [](uint8_t real) { return real != 0; }),
          ErrorCode::kInvalidArgument, "expected at least one real token in every sequence but sequence ", s,
          " is masked completely");
    tokens += sequences.lengths[s];
  }
  check(targets.empty() || head == Head::kSequenceClassification, ErrorCode::kInvalidArgument,
        "expected label values for sequence classification alone but this head is '", to_string(head), "'");
  check(sequences.choices == 0 || head == Head::kMultipleChoice, ErrorCode::kInvalidArgument,
        "expected choices for multiple choice alone but this head is '", to_string(head), "'");
  switch (head) {
    case Head::kBase:
      throw Error(ErrorCode::kInvalidArgument,
                  "expected a model with a task head to train but this one is 'base'; load it with a head");
    case Head::kPretraining:
    case Head::kMaskedLm:
      check_count("labels", labels.size(), tokens, "token");
      check_range("labels", labels, config.vocab_size);
      if (!sop_labels.empty() || head == Head::kMaskedLm)
        check_count("sop_labels", sop_labels.size(), head == Head::kMaskedLm ? 0 : count, "sequence");
      check_range("sop_labels", sop_labels, 2);
      return;
    case Head::kTokenClassification:
      check_count("labels", labels.size(), tokens, "token");
      check_range("labels", labels, config.num_labels);
      return;
    case Head::kSequenceClassification:
      if (!targets.empty()) {
        check_count("label values", targets.size(), count * config.num_labels, "sequence and label");
        for (float target : targets)
          check(std::isfinite(target), ErrorCode::kInvalidArgument, "expected finite labels but received ",
                target);
        return;
      }
      check_count("labels", labels.size(), count, "sequence");
      check_range("labels", labels, config.num_labels);
      return;
    case Head::kMultipleChoice:
      check(sequences.choices > 0, ErrorCode::kInvalidArgument, "expected several choices for every example");
      check_count("labels", labels.size(), count / sequences.choices, "example");
      check_range("labels", labels, sequences.choices);
      return;
    case Head::kQuestionAnswering:
      check_count("start_positions", start_positions.size(), count, "sequence");
      check_count("end_positions", end_positions.size(), count, "sequence");
      return;
    case Head::kQuestionAnsweringBeam:
      check_count("start_positions", start_positions.size(), count, "sequence");
      check_count("end_positions", end_positions.size(), count, "sequence");
      check_count("is_impossible", is_impossible.size(), count, "sequence");
      check_range("is_impossible", is_impossible, 2);
      return;
  }
}

std::vector<int32_t> LabelledBatch::labelled_positions(Head head) const {
  std::vector<int32_t> pairs;
  if (!labels_tokens(head)) return pairs;
  size_t token = 0;
  for (size_t s = 0; s < sequences.lengths.size(); ++s)
    for (int32_t position = 0; position < sequences.lengths[s]; ++position, ++token)
      if (labels[token] != kIgnoredLabel) pairs.push_back(static_cast<int32_t>(s)), pairs.push_back(position);
  return pairs;
}

}  // namespace albert
