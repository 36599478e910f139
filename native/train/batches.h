// Batches of pre-training instances as a function of seed and cursor: any batch can be made again, in any
// order.
#pragma once

#include <memory>
#include <vector>

#include "corpus.h"
#include "objective.h"

namespace albert {

// Instances of an epoch by number. Safe to use from several threads.
class InstanceSource {
 public:
  virtual ~InstanceSource() = default;
  virtual uint64_t size(uint64_t epoch) = 0;
  // Documents that are kept from training.
  virtual uint64_t held_out() const { return 0; }
  virtual Instance make(uint64_t epoch, uint64_t number) = 0;
};

// Which documents a source takes; a document is held out or not by its number, whatever the seed.
struct Split {
  double held_out = 0;      // share of documents
  bool evaluation = false;  // the held-out ones, masked alike in every epoch
};

std::unique_ptr<InstanceSource> corpus_source(std::shared_ptr<const Corpus> corpus,
                                              MaskingVocabulary vocabulary, const ObjectiveOptions& options,
                                              uint64_t seed, const Split& split);

// Where a stream stands; all of its state besides the seed.
struct Cursor {
  uint64_t epoch = 0, index = 0;
};

struct PretrainingBatch {
  std::vector<Instance> instances;  // fewer than asked for, or none, at the end of the last epoch
  Cursor next;
};

// `epochs` 0: endless. The order of instances is shuffled anew in every epoch, unless `shuffle` is false.
PretrainingBatch make_batch(InstanceSource& source, uint64_t seed, Cursor from, size_t count, uint64_t epochs,
                            bool shuffle);

}  // namespace albert
