// Plans an epoch from the index alone, then makes single instances from the mapped tokens.
#include "batches.h"

#include <mutex>

namespace albert {
namespace {

class CorpusSource final : public InstanceSource {
 public:
  CorpusSource(std::shared_ptr<const Corpus> corpus, MaskingVocabulary vocabulary,
               const ObjectiveOptions& options, uint64_t seed, const Split& split)
      : corpus_(std::move(corpus)),
        vocabulary_(std::move(vocabulary)),
        options_(options),
        seed_(seed),
        evaluation_(split.evaluation) {
    for (uint32_t document = 0; document < corpus_->documents(); ++document) {
      const bool held_out = RandomStream(0, Draws::kSplit, 0, document).unit() < split.held_out;
      held_out_ += held_out;
      if (held_out == split.evaluation) documents_.push_back(document);
    }
    check(!documents_.empty(), ErrorCode::kData, "expected at least one document ",
          split.evaluation ? "held out" : "to train on", " but the corpus has ", corpus_->documents(),
          " in all, of which ", split.held_out * 100, " % are held out; hold out ",
          split.evaluation ? "more, or none (holdOut: 0, --hold-out 0)" : "less", ", or give more text");
  }

  uint64_t size(uint64_t epoch) override { return plan(epoch)->size(); }
  uint64_t held_out() const override { return held_out_; }
  Instance make(uint64_t epoch, uint64_t number) override;

 private:
  using Plan = std::vector<PlannedInstance>;

  uint64_t drawn(uint64_t epoch) const { return evaluation_ ? 0 : epoch; }

  // Only the last epoch asked for is kept; a batch meets at most two.
  std::shared_ptr<const Plan> plan(uint64_t epoch) {
    epoch = drawn(epoch);
    std::lock_guard<std::mutex> lock(mutex_);
    if (plan_ && plan_epoch_ == epoch) return plan_;
    auto made = std::make_shared<Plan>();
    std::vector<uint32_t> lengths;
    for (const uint32_t document : documents_) {
      corpus_->segment_lengths(document, &lengths);
      RandomStream random(seed_, Draws::kPlan, epoch, document);
      plan_document(document, lengths, options_, random, made.get());
    }
    check(!made->empty(), ErrorCode::kData, "expected text in the corpus but all of its documents are empty");
    plan_ = std::move(made);
    plan_epoch_ = epoch;
    return plan_;
  }

  void append(uint32_t document, uint32_t first, uint32_t count, std::vector<int32_t>* out) const {
    corpus_->append_tokens(document, first, count, static_cast<int32_t>(vocabulary_.starts.size()), out);
  }
  void append_foreign(const PlannedInstance& plan, size_t a_size, RandomStream& random,
                      std::vector<int32_t>* b) const;

  std::shared_ptr<const Corpus> corpus_;
  MaskingVocabulary vocabulary_;
  ObjectiveOptions options_;
  uint64_t seed_;
  bool evaluation_;
  std::vector<uint32_t> documents_;
  uint64_t held_out_ = 0;
  std::mutex mutex_;
  std::shared_ptr<const Plan> plan_;
  uint64_t plan_epoch_ = 0;
};

// Ten tries for another document, as the reference makes; a lone document is paired with itself.
void CorpusSource::append_foreign(const PlannedInstance& plan, size_t a_size, RandomStream& random,
                                  std::vector<int32_t>* b) const {
  uint32_t other = plan.document;
  for (int i = 0; i < 10 && other == plan.document; ++i)
    other = documents_[random.below(static_cast<uint32_t>(documents_.size()))];
  std::vector<uint32_t> lengths;
  corpus_->segment_lengths(other, &lengths);
  if (lengths.empty()) return;
  uint32_t segment = random.below(static_cast<uint32_t>(lengths.size()));
  do {
    append(other, segment, 1, b);
  } while (++segment < lengths.size() && b->size() + a_size < static_cast<size_t>(plan.target));
}

Instance CorpusSource::make(uint64_t epoch, uint64_t number) {
  const PlannedInstance plan = (*this->plan(epoch))[static_cast<size_t>(number)];
  RandomStream random(seed_, Draws::kInstance, drawn(epoch), number);
  const bool paired = options_.pairs != SentencePairs::kNone;
  const bool foreign = paired && plan.b_segments == 0;
  std::vector<int32_t> a, b;
  append(plan.document, plan.first, plan.a_segments, &a);
  if (foreign)
    append_foreign(plan, a.size(), random, &b);
  else
    append(plan.document, plan.first + plan.a_segments, plan.b_segments, &b);
  if (plan.swapped) std::swap(a, b);
  truncate_pair(&a, &b, static_cast<size_t>(options_.max_length - (paired ? 3 : 2)), random);
  Instance instance = assemble(a, b, paired, vocabulary_);
  instance.sop_label = foreign || plan.swapped;
  mask_instance(vocabulary_, options_, random, &instance);
  return instance;
}

}  // namespace

std::unique_ptr<InstanceSource> corpus_source(std::shared_ptr<const Corpus> corpus,
                                              MaskingVocabulary vocabulary, const ObjectiveOptions& options,
                                              uint64_t seed, const Split& split) {
  return std::make_unique<CorpusSource>(std::move(corpus), std::move(vocabulary), options, seed, split);
}

PretrainingBatch make_batch(InstanceSource& source, uint64_t seed, Cursor from, size_t count, uint64_t epochs,
                            bool shuffle) {
  PretrainingBatch batch;
  while (batch.instances.size() < count && (epochs == 0 || from.epoch < epochs)) {
    const uint64_t size = source.size(from.epoch);
    if (from.index >= size) {
      from = {from.epoch + 1, 0};
      continue;
    }
    const uint64_t number = shuffle ? shuffled(seed, from.epoch, size, from.index) : from.index;
    batch.instances.push_back(source.make(from.epoch, number));
    ++from.index;
  }
  batch.next = from;
  return batch;
}

}  // namespace albert
