// The masking of create_masked_lm_predictions in google-research/albert, create_pretraining_data.py.
#include <algorithm>
#include <cmath>

#include "objective.h"

namespace albert {
namespace {

// Positions of the candidate words, flat: word w has positions[begin[w]] up to positions[begin[w + 1]].
struct Words {
  std::vector<int32_t> positions;
  std::vector<size_t> begin;
  size_t size() const { return begin.size() - 1; }
};

// A piece that begins no word joins the word before it, even across the separator in the middle.
Words find_words(const std::vector<int32_t>& ids, const MaskingVocabulary& vocabulary, bool whole_word) {
  Words words;
  for (size_t i = 0; i < ids.size(); ++i) {
    const int32_t id = ids[i];
    if (id == vocabulary.cls || id == vocabulary.sep) continue;
    const bool joins = whole_word && !vocabulary.starts[static_cast<size_t>(id)] && !words.begin.empty();
    if (!joins) words.begin.push_back(words.positions.size());
    words.positions.push_back(static_cast<int32_t>(i));
  }
  words.begin.push_back(words.positions.size());
  return words;
}

}  // namespace

int draw_ngram(const ObjectiveOptions& options, RandomStream& random) {
  const int longest = options.ngram;
  double total = 0;
  for (int n = 1; n <= longest; ++n) total += 1.0 / n;
  double rest = random.unit() * total;
  int rank = 1;
  while (rank < longest && rest >= 1.0 / rank) rest -= 1.0 / rank++;
  return options.favor_shorter ? rank : longest + 1 - rank;
}

void mask_instance(const MaskingVocabulary& vocabulary, const ObjectiveOptions& options, RandomStream& random,
                   Instance* instance) {
  if (options.masked_probability == 0) return;
  const Words words = find_words(instance->ids, vocabulary, options.whole_word);
  // nearbyint rounds halves to even, as Python does.
  const double share = static_cast<double>(instance->ids.size()) * options.masked_probability;
  const auto wanted =
      static_cast<size_t>(std::min<double>(options.max_predictions, std::max(1.0, std::nearbyint(share))));
  const std::vector<int32_t> original = instance->ids;
  std::vector<uint32_t> starts(words.size());
  for (size_t i = 0; i < starts.size(); ++i) starts[i] = static_cast<uint32_t>(i);
  for (size_t i = starts.size(); i > 1; --i)
    std::swap(starts[i - 1], starts[random.below(static_cast<uint32_t>(i))]);

  const auto pieces = static_cast<uint32_t>(vocabulary.starts.size());
  size_t chosen = 0;
  for (const uint32_t start : starts) {
    if (chosen >= wanted) break;
    auto length = static_cast<size_t>(draw_ngram(options, random));
    const auto window_end = [&] { return words.begin[std::min(start + length, words.size())]; };
    while (length > 1 && chosen + window_end() - words.begin[start] > wanted) --length;
    const size_t begin = words.begin[start], end = window_end();
    if (chosen + end - begin > wanted) continue;
    const auto covered = [&](int32_t position) { return instance->labels[position] != kIgnoredLabel; };
    if (std::any_of(words.positions.begin() + begin, words.positions.begin() + end, covered)) continue;
    for (size_t i = begin; i < end; ++i) {
      const int32_t position = words.positions[i];
      instance->labels[position] = original[position];
      if (random.unit() < 0.8)
        instance->ids[position] = vocabulary.mask;
      else if (random.unit() >= 0.5)
        instance->ids[position] = static_cast<int32_t>(random.below(pieces));
    }
    const size_t count = std::min(start + length, words.size()) - start;
    instance->spans.insert(instance->spans.end(), {words.positions[begin], static_cast<int32_t>(end - begin),
                                                   static_cast<int32_t>(count)});
    chosen += end - begin;
  }
}

}  // namespace albert
