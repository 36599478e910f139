// The pairs of create_instances_from_document in google-research/albert, create_pretraining_data.py.
#include "objective.h"

namespace albert {

void plan_document(uint32_t document, const std::vector<uint32_t>& segment_lengths,
                   const ObjectiveOptions& options, RandomStream& random, std::vector<PlannedInstance>* out) {
  const bool single = options.pairs == SentencePairs::kNone;
  const int32_t limit = options.max_length - (single ? 2 : 3);
  int32_t target = limit;
  if (limit > 2 && random.unit() < options.short_probability)
    target = 2 + static_cast<int32_t>(random.below(static_cast<uint32_t>(limit - 1)));
  const auto count = static_cast<uint32_t>(segment_lengths.size());
  uint32_t first = 0;
  uint64_t tokens = 0;
  for (uint32_t i = 0; i < count; ++i) {
    tokens += segment_lengths[i];
    if (i + 1 < count && tokens < static_cast<uint64_t>(target)) continue;
    const uint32_t segments = i + 1 - first;
    PlannedInstance plan{document, first, segments, 0, target, false};
    if (!single) {
      plan.a_segments = segments == 1 ? 1 : 1 + random.below(segments - 1);
      const bool foreign = segments == 1 || (options.pairs == SentencePairs::kNext && random.unit() < 0.5);
      if (foreign) {
        i = first + plan.a_segments - 1;  // the segments after A start the next instance
      } else {
        plan.b_segments = segments - plan.a_segments;
        plan.swapped = options.pairs == SentencePairs::kOrder && random.unit() < 0.5;
      }
    }
    out->push_back(plan);
    first = i + 1;
    tokens = 0;
  }
}

void truncate_pair(std::vector<int32_t>* a, std::vector<int32_t>* b, size_t limit, RandomStream& random) {
  // Counts first, then one cut each, as erasing from the front token by token would be quadratic.
  struct Cut {
    std::vector<int32_t>* tokens;
    size_t front = 0, back = 0;
    size_t size() const { return tokens->size() - front - back; }
  };
  Cut first{a}, second{b};
  while (first.size() + second.size() > limit) {
    Cut& longer = first.size() > second.size() ? first : second;
    ++(random.unit() < 0.5 ? longer.front : longer.back);
  }
  for (const Cut& cut : {first, second}) {
    cut.tokens->resize(cut.tokens->size() - cut.back);
    cut.tokens->erase(cut.tokens->begin(), cut.tokens->begin() + static_cast<ptrdiff_t>(cut.front));
  }
}

Instance assemble(const std::vector<int32_t>& a, const std::vector<int32_t>& b, bool paired,
                  const MaskingVocabulary& vocabulary) {
  Instance instance;
  instance.ids.reserve(a.size() + b.size() + 3);
  instance.ids.push_back(vocabulary.cls);
  instance.ids.insert(instance.ids.end(), a.begin(), a.end());
  instance.ids.push_back(vocabulary.sep);
  instance.types.assign(instance.ids.size(), 0);
  if (paired) {
    instance.ids.insert(instance.ids.end(), b.begin(), b.end());
    instance.ids.push_back(vocabulary.sep);
    instance.types.resize(instance.ids.size(), 1);
  }
  instance.labels.assign(instance.ids.size(), kIgnoredLabel);
  return instance;
}

}  // namespace albert
