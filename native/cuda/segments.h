// Where attention finds the rows of its sequences.
#pragma once

#include <vector>

#include "ops.h"

namespace albert::cuda {

constexpr int kQueryTile = 64;

// On the device.
struct DeviceSegments {
  const int32_t* first_row = nullptr;          // [B]
  const int32_t* keys = nullptr;               // [B]
  const int32_t* rows = nullptr;               // [B] of the sequence
  const int32_t* sequence_of = nullptr;        // [R] of a query
  const int32_t* query_row = nullptr;          // [R] row of a query, among all rows
  const int32_t* first_query = nullptr;        // [B + 1]
  const int32_t* tile_sequence = nullptr;      // [tiles] sequence of a tile of kQueryTile queries
  const int32_t* tile_begin = nullptr;         // [tiles] its first query within the sequence
  const int64_t* probability_begin = nullptr;  // [B] where probabilities begin, with one head
  int64_t count = 0, total_rows = 0, total_queries = 0, probabilities = 0;
  int tiles = 0, most_keys = 0, most_rows = 0;
};

// As one block of 32-bit values, to be copied there.
class LaidOutSegments {
 public:
  explicit LaidOutSegments(const Segments& segments);
  const std::vector<int32_t>& values() const { return values_; }  // an even number
  DeviceSegments at(const int32_t* block) const;                  // `block`, on 8 bytes, holds the values

 private:
  std::vector<int32_t> values_;
  std::vector<size_t> begin_;  // of each list of `DeviceSegments`, in their order there
  DeviceSegments sizes_;
};

}  // namespace albert::cuda
