// Laying out where sequences have their rows, and bringing it to the GPU once for all layers of a pass.
#include "cuda/segments.h"

#include <algorithm>
#include <cstring>

#include "cuda/backend.h"
#include "cuda/runtime.h"

namespace albert::cuda {

LaidOutSegments::LaidOutSegments(const Segments& segments) {
  std::vector<int32_t> first_row, keys, rows, sequence_of, query_row, first_query, tile_sequence, tile_begin;
  std::vector<int64_t> probability_begin;
  for (int64_t s = 0; s < segments.count; ++s) {
    const int32_t first = static_cast<int32_t>(segments.first_row(s));
    first_row.push_back(first);
    keys.push_back(segments.keys[s]);
    rows.push_back(static_cast<int32_t>(segments.row_count(s)));
    first_query.push_back(static_cast<int32_t>(sequence_of.size()));
    probability_begin.push_back(sizes_.probabilities);
    const int64_t queries = segments.query_count(s);
    for (int64_t i = 0; i < queries; ++i) {
      sequence_of.push_back(static_cast<int32_t>(s));
      query_row.push_back(first + (segments.queries ? segments.queries[segments.query_begin[s] + i]
                                                    : static_cast<int32_t>(i)));
    }
    for (int64_t i = 0; i < queries; i += kQueryTile) {
      tile_sequence.push_back(static_cast<int32_t>(s));
      tile_begin.push_back(static_cast<int32_t>(i));
    }
    sizes_.most_keys = std::max(sizes_.most_keys, segments.keys[s]);
    sizes_.most_rows = std::max(sizes_.most_rows, rows.back());
    sizes_.probabilities += queries * segments.keys[s];
  }
  first_query.push_back(static_cast<int32_t>(sequence_of.size()));
  sizes_.count = segments.count;
  sizes_.total_rows = segments.rows();
  sizes_.total_queries = first_query.back();
  sizes_.tiles = static_cast<int>(tile_sequence.size());

  values_.resize(2 * probability_begin.size());  // the 64-bit values first
  std::memcpy(values_.data(), probability_begin.data(), values_.size() * sizeof(int32_t));
  for (const std::vector<int32_t>* list :
       {&first_row, &keys, &rows, &sequence_of, &query_row, &first_query, &tile_sequence, &tile_begin}) {
    begin_.push_back(values_.size());
    values_.insert(values_.end(), list->begin(), list->end());
  }
  if (values_.size() % 2) values_.push_back(0);
}

DeviceSegments LaidOutSegments::at(const int32_t* block) const {
  DeviceSegments result = sizes_;
  result.probability_begin = reinterpret_cast<const int64_t*>(block);
  size_t list = 0;
  for (const int32_t** place :
       {&result.first_row, &result.keys, &result.rows, &result.sequence_of, &result.query_row,
        &result.first_query, &result.tile_sequence, &result.tile_begin})
    *place = block + begin_[list++];
  return result;
}

// Every layer of a pass has the same segments: what was brought for the first one serves all.
const DeviceSegments& CudaBackend::segments_on_device(const Segments& segments, Operation& operation) {
  if (const DeviceSegments* const placed = inputs_.find(segments)) return *placed;
  const size_t count = static_cast<size_t>(segments.count);
  std::vector<int32_t> key = {static_cast<int32_t>(count)};
  key.insert(key.end(), segments.row_begin, segments.row_begin + count + 1);
  key.insert(key.end(), segments.keys, segments.keys + count);
  if (segments.queries) {
    key.insert(key.end(), segments.query_begin, segments.query_begin + count + 1);
    key.insert(key.end(), segments.queries + segments.query_begin[0],
               segments.queries + segments.query_begin[count]);
  }
  if (key == segments_key_) return segments_;

  const LaidOutSegments laid_out(segments);
  const size_t size = laid_out.values().size();
  segments_key_.clear();  // until everything has arrived
  if (size > segments_capacity_) {
    memory_.release(segments_memory_);
    segments_memory_ = nullptr;
    segments_capacity_ = 0;
    segments_memory_ = static_cast<int32_t*>(memory_.allocate(2 * size * sizeof(int32_t)));
    segments_capacity_ = 2 * size;
  }
  check_cuda(cudaMemcpyAsync(segments_memory_, laid_out.values().data(), size * sizeof(int32_t),
                             cudaMemcpyHostToDevice, operation.stream()),
             "copying to the device");
  segments_ = laid_out.at(segments_memory_);
  segments_key_ = std::move(key);
  return segments_;
}

}  // namespace albert::cuda
