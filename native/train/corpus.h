// A tokenised corpus in memory-mapped shards: documents of segments of token ids, larger than memory if need
// be.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "support/file_map.h"

namespace albert {

// Writes one shard, whole or not at all. `segment_lengths` counts tokens, `document_segments` counts
// segments. Throws Error{kInvalidArgument} for lengths that are negative or do not add up, and Error{kData}
// for what cannot be written.
void write_shard(const std::string& path, const std::vector<int32_t>& tokens,
                 const std::vector<int32_t>& segment_lengths, const std::vector<int32_t>& document_segments);

// Immutable after opening and safe to share between threads.
class Corpus {
 public:
  // Throws Error{kData} for a file that is no shard, is truncated, or was not made whole. What the index says
  // is checked when it is used, so that opening stays cheap.
  explicit Corpus(const std::vector<std::shared_ptr<const FileMap>>& files);

  uint32_t documents() const { return first_document_.back(); }
  // Tokens of each segment of a document.
  void segment_lengths(uint32_t document, std::vector<uint32_t>* out) const;
  // Appends the tokens of `count` segments; ids outside [0, vocabulary_size) throw Error{kData}.
  void append_tokens(uint32_t document, uint32_t first, uint32_t count, int32_t vocabulary_size,
                     std::vector<int32_t>* out) const;

 private:
  struct Shard {
    std::shared_ptr<const FileMap> file;
    const uint64_t* document_begin;  // [documents + 1] segments
    const uint64_t* segment_begin;   // [segments + 1] tokens
    const int32_t* tokens;
    uint64_t segment_count, token_count;
  };
  // The shard of a document, and its segments [begin, end), checked.
  const Shard& locate(uint32_t document, uint64_t* begin, uint64_t* end) const;

  std::vector<Shard> shards_;
  std::vector<uint32_t> first_document_;  // [shards + 1]
};

}  // namespace albert
