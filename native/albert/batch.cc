// Packing of requests into rows, and the choice of the rows that the last layer must finish.
#include "batch.h"

#include <algorithm>

namespace albert {

PackedBatch::PackedBatch(const std::vector<BatchItem>& items) {
  row_begin.push_back(0);
  first_sequence.push_back(0);
  for (const BatchItem& item : items) {
    pack(*item.sequences, item.pooled);
    first_sequence.push_back(static_cast<int32_t>(keys.size()));
  }
  query_begin.push_back(0);
  for (size_t i = 0; i < items.size(); ++i) select(items[i], first_sequence[i]);
  if (query_begin.back() == rows()) {
    query_begin.clear();
    queries.clear();
  }
}

void PackedBatch::pack(const SequenceBatch& batch, bool pooled) {
  size_t token = 0;
  for (int32_t length : batch.lengths) {
    const size_t first = token;
    auto add = [&](size_t at) {
      ids.push_back(batch.ids[at]);
      types.push_back(batch.types.empty() ? 0 : batch.types[at]);
      positions.push_back(static_cast<int32_t>(at - first));
    };
    for (int32_t i = 0; i < length; ++i, ++token)
      if (batch.mask.empty() || batch.mask[token]) add(token);
    const int32_t count = static_cast<int32_t>(ids.size()) - row_begin.back();
    if (pooled && count > 0 && positions[static_cast<size_t>(row_begin.back())] != 0) add(first);
    keys.push_back(count);
    row_begin.push_back(static_cast<int32_t>(ids.size()));
  }
}

void PackedBatch::select(const BatchItem& item, int64_t first) {
  const int64_t count = static_cast<int64_t>(item.sequences->lengths.size());
  std::vector<bool> wanted(static_cast<size_t>(row_begin[first + count] - row_begin[first]), item.every_row);
  for (size_t pair = 0; pair < item.pairs->size(); pair += 2) {
    const int64_t row = row_of(first + (*item.pairs)[pair], (*item.pairs)[pair + 1]);
    if (row >= 0) wanted[static_cast<size_t>(row - row_begin[first])] = true;
  }
  for (int64_t s = first; s < first + count; ++s) {
    for (int32_t row = row_begin[s]; row < row_begin[s + 1]; ++row)
      if (wanted[static_cast<size_t>(row - row_begin[first])] || (item.pooled && positions[row] == 0))
        queries.push_back(row - row_begin[s]);
    query_begin.push_back(static_cast<int32_t>(queries.size()));
  }
}

std::vector<int32_t> PackedBatch::selected_rows() const {
  std::vector<int32_t> rows;
  for (size_t s = 0; s + 1 < query_begin.size(); ++s)
    for (int32_t query = query_begin[s]; query < query_begin[s + 1]; ++query)
      rows.push_back(row_begin[s] + queries[query]);
  return rows;
}

Segments PackedBatch::segments(int64_t first, int64_t count, bool selected) const {
  Segments segments;
  segments.count = count;
  segments.row_begin = row_begin.data() + first;
  segments.keys = keys.data() + first;
  if (selected && selects()) {
    segments.queries = queries.data();
    segments.query_begin = query_begin.data() + first;
  }
  return segments;
}

int64_t PackedBatch::row_of(int64_t sequence, int32_t position) const {
  const auto begin = positions.begin() + row_begin[sequence], ordered_end = begin + keys[sequence],
             end = positions.begin() + row_begin[sequence + 1];
  const auto found = std::lower_bound(begin, ordered_end, position);
  if (found != ordered_end && *found == position) return found - positions.begin();
  return ordered_end != end && *ordered_end == position ? ordered_end - positions.begin() : -1;
}

int64_t PackedBatch::result_row(int64_t sequence, int32_t position) const {
  const int64_t row = row_of(sequence, position);
  if (row < 0 || !selects()) return row;
  const auto first = queries.begin() + query_begin[sequence],
             last = queries.begin() + query_begin[sequence + 1];
  const auto found = std::lower_bound(first, last, row - row_begin[sequence]);
  return found != last && *found == row - row_begin[sequence] ? found - queries.begin() : -1;
}

}  // namespace albert
