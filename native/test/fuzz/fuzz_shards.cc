// Fuzzes the shards of a corpus: whatever the index says, batches are made or refused.
#include "support/file_map.h"
#include "train/batches.h"
#include "train/corpus.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace albert;
  try {
    const auto corpus = std::make_shared<const Corpus>(
        std::vector<std::shared_ptr<const FileMap>>{FileMap::from_bytes({data, data + size}, "fuzz")});
    MaskingVocabulary vocabulary;
    vocabulary.starts.assign(50, 1);
    vocabulary.cls = 2, vocabulary.sep = 3, vocabulary.mask = 4;
    ObjectiveOptions options;
    options.max_length = 32;
    const auto source = corpus_source(corpus, vocabulary, options, 1, Split());
    make_batch(*source, 1, Cursor(), 8, 1, true);
  } catch (const Error&) {
  }
  return 0;
}
