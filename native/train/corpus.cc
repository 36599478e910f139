// Layout of a shard: magic, three counts, where documents begin, where segments begin, the tokens;
// little-endian.
#include "corpus.h"

#include <algorithm>
#include <cstring>

#include "support/atomic_file.h"

namespace albert {
namespace {

constexpr char kMagic[8] = {'A', 'L', 'B', 'T', 'O', 'K', '0', '1'};
constexpr size_t kHeaderBytes = sizeof kMagic + 3 * sizeof(uint64_t);

// Where each of the runs of these lengths begins, and the last one ends.
std::vector<uint64_t> begins(const std::vector<int32_t>& lengths, const char* name) {
  std::vector<uint64_t> begin{0};
  begin.reserve(lengths.size() + 1);
  for (const int32_t length : lengths) {
    check(length >= 0, ErrorCode::kInvalidArgument, "expected ", name, " from 0 but received ", length,
          " at index ", begin.size() - 1);
    begin.push_back(begin.back() + static_cast<uint64_t>(length));
  }
  return begin;
}

}  // namespace

void write_shard(const std::string& path, const std::vector<int32_t>& tokens,
                 const std::vector<int32_t>& segment_lengths, const std::vector<int32_t>& document_segments) {
  const std::vector<uint64_t> segment_begin = begins(segment_lengths, "lengths of segments"),
                              document_begin = begins(document_segments, "numbers of segments");
  check(segment_begin.back() == tokens.size() && document_begin.back() == segment_lengths.size(),
        ErrorCode::kInvalidArgument, "expected lengths that add up to ", tokens.size(), " tokens and ",
        segment_lengths.size(), " segments but they give ", segment_begin.back(), " and ",
        document_begin.back());
  AtomicFile file(path, ErrorCode::kData);
  const uint64_t counts[3] = {document_segments.size(), segment_lengths.size(), tokens.size()};
  file.write(kMagic, sizeof kMagic);
  file.write(counts, sizeof counts);
  file.write(document_begin.data(), document_begin.size() * sizeof(uint64_t));
  file.write(segment_begin.data(), segment_begin.size() * sizeof(uint64_t));
  file.write(tokens.data(), tokens.size() * sizeof(int32_t));
  file.commit();
}

Corpus::Corpus(const std::vector<std::shared_ptr<const FileMap>>& files) {
  first_document_.push_back(0);
  for (const std::shared_ptr<const FileMap>& map : files) {
    Shard shard{map, nullptr, nullptr, nullptr, 0, 0};
    const FileMap& file = *map;
    check(file.size() >= kHeaderBytes && std::memcmp(file.data(), kMagic, sizeof kMagic) == 0,
          ErrorCode::kData, file.path(),
          ": expected a shard of tokens but it begins differently; delete it to have it made anew");
    uint64_t counts[3];
    std::memcpy(counts, file.data() + sizeof kMagic, sizeof counts);
    const auto [documents, segments, tokens] = counts;
    // Each count alone first, so that the sum cannot overflow.
    const bool fits = std::all_of(counts, counts + 3, [&](uint64_t n) { return n <= file.size(); }) &&
                      kHeaderBytes + (documents + segments + 2) * 8 + tokens * 4 == file.size();
    check(fits && documents + first_document_.back() < UINT32_MAX, ErrorCode::kData, file.path(), ": its ",
          file.size(), " bytes are not those of ", documents, " documents, ", segments, " segments and ",
          tokens, " tokens; it is truncated or damaged, delete it to have it made anew");
    shard.document_begin = reinterpret_cast<const uint64_t*>(file.data() + kHeaderBytes);
    shard.segment_begin = shard.document_begin + documents + 1;
    shard.tokens = reinterpret_cast<const int32_t*>(shard.segment_begin + segments + 1);
    shard.segment_count = segments;
    shard.token_count = tokens;
    first_document_.push_back(first_document_.back() + static_cast<uint32_t>(documents));
    shards_.push_back(std::move(shard));
  }
}

const Corpus::Shard& Corpus::locate(uint32_t document, uint64_t* begin, uint64_t* end) const {
  check(document < documents(), ErrorCode::kInvalidArgument, "expected one of ", documents(),
        " documents but received number ", document);
  const auto after = std::upper_bound(first_document_.begin(), first_document_.end(), document);
  const auto index = static_cast<size_t>(after - first_document_.begin()) - 1;
  const Shard& shard = shards_[index];
  const uint32_t local = document - first_document_[index];
  *begin = shard.document_begin[local];
  *end = shard.document_begin[local + 1];
  check(*begin <= *end && *end <= shard.segment_count, ErrorCode::kData, shard.file->path(), ": document ",
        local, " claims segments ", *begin, " to ", *end, " of ", shard.segment_count,
        "; the shard is damaged");
  return shard;
}

void Corpus::segment_lengths(uint32_t document, std::vector<uint32_t>* out) const {
  uint64_t begin, end;
  const Shard& shard = locate(document, &begin, &end);
  out->clear();
  for (uint64_t i = begin; i < end; ++i) {
    const uint64_t from = shard.segment_begin[i], to = shard.segment_begin[i + 1];
    check(from <= to && to <= shard.token_count && to - from < UINT32_MAX, ErrorCode::kData,
          shard.file->path(), ": segment ", i, " claims tokens ", from, " to ", to, " of ", shard.token_count,
          "; the shard is damaged");
    out->push_back(static_cast<uint32_t>(to - from));
  }
}

void Corpus::append_tokens(uint32_t document, uint32_t first, uint32_t count, int32_t vocabulary_size,
                           std::vector<int32_t>* out) const {
  uint64_t begin, end;
  const Shard& shard = locate(document, &begin, &end);
  check(first <= end - begin && count <= end - begin - first, ErrorCode::kInvalidArgument,
        "expected segments of a document that has ", end - begin);
  const uint64_t from = shard.segment_begin[begin + first], to = shard.segment_begin[begin + first + count];
  check(from <= to && to <= shard.token_count, ErrorCode::kData, shard.file->path(),
        ": the shard is damaged");
  for (uint64_t i = from; i < to; ++i) {
    const int32_t id = shard.tokens[i];
    check(id >= 0 && id < vocabulary_size, ErrorCode::kData, shard.file->path(), ": token ", i, " is ", id,
          " but the vocabulary has ", vocabulary_size, "; the shard is damaged or of another vocabulary");
    out->push_back(id);
  }
}

}  // namespace albert
