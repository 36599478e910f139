// Pre-training instances against their formulas, by chi-square tests with a fixed seed, and their edge cases.
#include "train/objective.h"

#include <algorithm>
#include <cmath>

#include "support/error.h"
#include "test.h"
#include "train/word_starts.h"

namespace albert {
namespace {

constexpr int kInstances = 200000;
constexpr int32_t kPieces = 1000, kCls = 2, kSep = 3, kMask = 4;

MaskingVocabulary vocabulary() { return {std::vector<uint8_t>(kPieces, 1), kCls, kSep, kMask}; }

// Critical values at significance 0.001. The seeds are fixed, so a test that passes once passes always.
double critical(size_t freedom) {
  static constexpr double kValues[] = {0, 10.828, 13.816, 16.266, 18.467};
  return kValues[freedom];
}

void expect_fits(const std::vector<double>& observed, const std::vector<double>& probabilities) {
  double total = 0, statistic = 0;
  for (const double count : observed) total += count;
  for (size_t i = 0; i < observed.size(); ++i) {
    const double expected = total * probabilities[i];
    statistic += (observed[i] - expected) * (observed[i] - expected) / expected;
  }
  EXPECT(statistic < critical(observed.size() - 1), "chi-square is ", statistic);
}

std::vector<int32_t> words(int count, int32_t id = 100) { return std::vector<int32_t>(count, id); }

}  // namespace

TEST(objective_ngram_lengths_follow_their_formula) {
  for (const bool shorter : {true, false}) {
    ObjectiveOptions options;
    options.favor_shorter = shorter;
    RandomStream random(1, Draws::kInstance, 0, 0);
    std::vector<double> counts(3);
    for (int i = 0; i < kInstances; ++i) ++counts[draw_ngram(options, random) - 1];
    std::vector<double> expected = {6.0 / 11, 3.0 / 11, 2.0 / 11};
    if (!shorter) std::reverse(expected.begin(), expected.end());
    expect_fits(counts, expected);
  }
}

// Accepted n-grams are shorter than drawn ones: windows end with the list, the cap shrinks the last ones,
// overlap rejects long ones more often. The first n-gram of an instance meets no overlap and, with the cap
// out of reach, no shrinking, which leaves the end of the list: the start is uniform over W words, the last
// one can only give 1, the one before 1 or 2.
TEST(objective_first_ngram_of_masked_instances_is_distributed_exactly) {
  constexpr double kWords = 20, p1 = 6.0 / 11, p2 = 3.0 / 11, p3 = 2.0 / 11;
  ObjectiveOptions options;
  options.masked_probability = 0.5;
  std::vector<double> lengths(3), fates(3);
  double masked = 0;
  for (int i = 0; i < kInstances; ++i) {
    RandomStream random(2, Draws::kInstance, 0, i);
    Instance instance = assemble(words(10), words(10), true, vocabulary());
    mask_instance(vocabulary(), options, random, &instance);
    ++lengths[instance.spans[2] - 1];
    for (size_t t = 0; t < instance.ids.size(); ++t) {
      if (instance.labels[t] == kIgnoredLabel) continue;
      EXPECT(instance.labels[t] == 100, "");
      ++masked;
      ++fates[instance.ids[t] == kMask ? 0 : instance.ids[t] == 100 ? 1 : 2];
    }
  }
  expect_fits(lengths, {(kWords - 2) / kWords * p1 + p1 / kWords + 1 / kWords,
                        (kWords - 2) / kWords * p2 + (p2 + p3) / kWords, (kWords - 2) / kWords * p3});
  // A random piece is [MASK] or the original once in V times each.
  const double other = 0.1 / kPieces;
  expect_fits(fates, {0.8 + other, 0.1 + other, 0.1 - 2 * other});
  EXPECT(masked / kInstances <= 12 && masked / kInstances > 11, masked / kInstances);
}

// With unigrams of one piece nothing overlaps and everything fits, so the number of masked tokens is exact.
TEST(objective_masking_rate_is_exact_for_unigrams) {
  ObjectiveOptions options;
  options.ngram = 1;
  const auto masked = [&](int tokens) {
    RandomStream random(3, Draws::kInstance, 0, tokens);
    Instance instance = assemble(words(tokens - 3), {}, true, vocabulary());
    mask_instance(vocabulary(), options, random, &instance);
    return std::count_if(instance.labels.begin(), instance.labels.end(),
                         [](int32_t l) { return l != kIgnoredLabel; });
  };
  EXPECT(masked(100) == 15 && masked(128) == 19 && masked(512) == 20 && masked(5) == 1, "");
  EXPECT(masked(10) == 2 && masked(30) == 4, "halves round to even");  // 1.5 and 4.5
}

TEST(objective_sentence_order_is_balanced) {
  ObjectiveOptions options;
  options.max_length = 32;
  std::vector<double> counts(2);
  std::vector<PlannedInstance> plan;
  for (uint32_t document = 0; counts[0] + counts[1] < kInstances; ++document) {
    RandomStream random(4, Draws::kPlan, 0, document);
    plan.clear();
    plan_document(document, std::vector<uint32_t>(40, 7), options, random, &plan);
    // A chunk of one segment has a foreign text instead, and draws no coin.
    for (const PlannedInstance& one : plan)
      if (one.b_segments > 0) ++counts[one.swapped];
  }
  expect_fits(counts, {0.5, 0.5});
}

TEST(objective_plans_cover_every_segment_once) {
  ObjectiveOptions options;
  options.max_length = 24;
  for (const SentencePairs pairs : {SentencePairs::kOrder, SentencePairs::kNext, SentencePairs::kNone}) {
    options.pairs = pairs;
    for (uint32_t document = 0; document < 200; ++document) {
      RandomStream random(5, Draws::kPlan, 0, document);
      std::vector<PlannedInstance> plan;
      plan_document(document, std::vector<uint32_t>(1 + document % 30, 5), options, random, &plan);
      uint32_t at = 0;
      for (const PlannedInstance& one : plan) {
        EXPECT(one.first == at && one.a_segments > 0, "");
        EXPECT(pairs != SentencePairs::kNone || one.b_segments == 0, "");
        at += one.a_segments + one.b_segments;
      }
      EXPECT(at == 1 + document % 30, at);
    }
  }
}

TEST(objective_truncates_the_longer_text_and_b_when_equal) {
  RandomStream random(6, Draws::kInstance, 0, 0);
  std::vector<int32_t> a = {1, 2, 3, 4, 5, 6, 7, 8}, b = {9, 10};
  truncate_pair(&a, &b, 5, random);
  EXPECT(a.size() == 3 && b.size() == 2, "");
  EXPECT(a[1] == a[0] + 1 && a[2] == a[0] + 2, "only ends are cut");
  std::vector<int32_t> c = {1, 2, 3}, d = {4, 5, 6};
  truncate_pair(&c, &d, 5, random);
  EXPECT(c.size() == 3 && d.size() == 2, "");
}

TEST(objective_masks_whole_words_across_the_separator) {
  MaskingVocabulary pieces = vocabulary();
  pieces.starts[200] = 0;
  ObjectiveOptions options;
  options.masked_probability = 1;
  options.ngram = 1;
  for (uint64_t i = 0; i < 100; ++i) {
    RandomStream random(7, Draws::kInstance, 0, i);
    Instance instance = assemble({100, 200}, {200, 100}, true, pieces);
    options.max_predictions = 3;
    mask_instance(pieces, options, random, &instance);
    const bool together = (instance.labels[1] == kIgnoredLabel) == (instance.labels[2] == kIgnoredLabel) &&
                          (instance.labels[2] == kIgnoredLabel) == (instance.labels[4] == kIgnoredLabel);
    EXPECT(together && instance.labels[3] == kIgnoredLabel, "");
  }
}

TEST(objective_word_starts_of_sentencepiece) {
  for (const char* piece :
       {"\xE2\x96\x81the", "<pad>", "!", "2000", "0,", "'s", "=", ">", "\xE2\x80\x93", "\xE2\x82\xAC"})
    EXPECT(starts_word_sentencepiece(piece), piece);
  for (const char* piece : {"ed", "ABC", "a-b", "--", "the,"})
    EXPECT(!starts_word_sentencepiece(piece), piece);
  EXPECT(!starts_word_wordpiece("##ed") && starts_word_wordpiece("ed"), "");
}

TEST(objective_shuffle_is_a_permutation) {
  for (const uint64_t size : {1, 2, 5, 64, 1000}) {
    std::vector<int> seen(size);
    for (uint64_t i = 0; i < size; ++i) ++seen[shuffled(8, 3, size, i)];
    EXPECT(std::all_of(seen.begin(), seen.end(), [](int n) { return n == 1; }), size);
  }
}

}  // namespace albert
