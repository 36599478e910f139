// Where attention finds the rows of its sequences: brought to the GPU once for all layers of a pass.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstring>

#include "cuda/backend.h"
#include "cuda/runtime.h"

namespace albert::cuda {

// Every layer of a pass has the same segments: what was uploaded for the first one serves all.
const DeviceSegments& CudaBackend::upload_segments(const Segments& segments, int64_t heads,
                                                   Operation& operation) {
  const size_t count = static_cast<size_t>(segments.count);
  std::vector<int32_t> key(segments.row_begin, segments.row_begin + count + 1);
  key.insert(key.end(), segments.keys, segments.keys + count);
  key.push_back(static_cast<int32_t>(heads));
  if (segments.queries) {
    key.insert(key.end(), segments.query_begin, segments.query_begin + count + 1);
    key.insert(key.end(), segments.queries + segments.query_begin[0],
               segments.queries + segments.query_begin[count]);
  }
  if (key == segments_key_) return segments_;

  std::vector<int32_t> first_row, keys, rows, sequence_of, query_row, first_query, tile_sequence, tile_begin;
  std::vector<int64_t> probability_begin;
  DeviceSegments result;
  for (int64_t s = 0; s < segments.count; ++s) {
    const int32_t first = static_cast<int32_t>(segments.first_row(s));
    first_row.push_back(first);
    keys.push_back(segments.keys[s]);
    rows.push_back(static_cast<int32_t>(segments.row_count(s)));
    first_query.push_back(static_cast<int32_t>(sequence_of.size()));
    probability_begin.push_back(result.probabilities);
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
    result.most_keys = std::max(result.most_keys, segments.keys[s]);
    result.most_rows = std::max(result.most_rows, rows.back());
    result.probabilities += heads * queries * segments.keys[s];
  }
  first_query.push_back(static_cast<int32_t>(sequence_of.size()));
  result.total_rows = segments.rows();
  result.total_queries = first_query.back();
  result.tiles = static_cast<int>(tile_sequence.size());

  // One block for all, the 64-bit values first.
  std::vector<int32_t> values(2 * probability_begin.size());
  std::memcpy(values.data(), probability_begin.data(), values.size() * sizeof(int32_t));
  std::vector<const int32_t**> places;
  std::vector<size_t> begin;
  const auto append = [&](const int32_t*& place, const std::vector<int32_t>& list) {
    places.push_back(&place);
    begin.push_back(values.size());
    values.insert(values.end(), list.begin(), list.end());
  };
  append(result.first_row, first_row);
  append(result.keys, keys);
  append(result.rows, rows);
  append(result.sequence_of, sequence_of);
  append(result.query_row, query_row);
  append(result.first_query, first_query);
  append(result.tile_sequence, tile_sequence);
  append(result.tile_begin, tile_begin);
  segments_key_.clear();  // until everything has arrived
  if (values.size() > segments_capacity_) {
    memory_.release(segments_memory_);
    segments_capacity_ = 0;
    segments_memory_ = memory_.allocate(2 * values.size() * sizeof(int32_t));
    segments_capacity_ = 2 * values.size();
  }
  check_cuda(cudaMemcpyAsync(segments_memory_, values.data(), values.size() * sizeof(int32_t),
                             cudaMemcpyHostToDevice, operation.stream()),
             "copying to the device");
  const int32_t* const base = static_cast<const int32_t*>(segments_memory_);
  result.probability_begin = reinterpret_cast<const int64_t*>(base);
  for (size_t i = 0; i < places.size(); ++i) *places[i] = base + begin[i];
  segments_ = result;
  segments_key_ = std::move(key);
  return segments_;
}

}  // namespace albert::cuda
