// ALBERT's pre-training instances: pairs of text in or out of order, with words masked as n-grams.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "labels.h"
#include "random_stream.h"

namespace albert {

enum class SentencePairs { kOrder, kNext, kNone };  // SOP, NSP, single texts

struct ObjectiveOptions {
  int max_length = 512;  // tokens in all
  double masked_probability = 0.15;
  int max_predictions = 20;
  int ngram = 3;
  bool favor_shorter = true;  // p(n) ~ 1/n; false: the same in reverse
  bool whole_word = true;
  double short_probability = 0.1;
  SentencePairs pairs = SentencePairs::kOrder;
};

// What masking needs to know of a vocabulary.
struct MaskingVocabulary {
  std::vector<uint8_t> starts;  // [V] 1 for pieces that begin a word
  int32_t cls = -1, sep = -1, mask = -1;
};

struct Instance {
  std::vector<int32_t> ids, types, labels;  // [T]; labels hold the original id where it is to be predicted
  int32_t sop_label = 0;                    // 1: swapped or with a foreign text
  std::vector<int32_t> spans;  // [n-grams, 3] first position, pieces and words, in the order they were chosen
};

// Segments of one document that make an instance: A from `first`, then B, or a foreign B when it has none.
struct PlannedInstance {
  uint32_t document, first, a_segments, b_segments;
  int32_t target;  // tokens wanted; a foreign B grows to it
  bool swapped;
};

// Cuts one document into instances from the lengths of its segments alone.
void plan_document(uint32_t document, const std::vector<uint32_t>& segment_lengths,
                   const ObjectiveOptions& options, RandomStream& random, std::vector<PlannedInstance>* out);

// Shortens a pair to `limit` tokens: one from a random end of the longer text, of B when both are as long.
void truncate_pair(std::vector<int32_t>* a, std::vector<int32_t>* b, size_t limit, RandomStream& random);

// [CLS] A [SEP] B [SEP], or [CLS] A [SEP] in mode kNone; nothing masked yet.
Instance assemble(const std::vector<int32_t>& a, const std::vector<int32_t>& b, bool paired,
                  const MaskingVocabulary& vocabulary);

// A length in 1..ngram.
int draw_ngram(const ObjectiveOptions& options, RandomStream& random);

// Chooses n-grams of whole words and replaces their tokens: 80 % [MASK], 10 % as they are, 10 % any piece.
void mask_instance(const MaskingVocabulary& vocabulary, const ObjectiveOptions& options, RandomStream& random,
                   Instance* instance);

}  // namespace albert
