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
  for (int64_t s = first; s < first + count; ++s) {
    const int32_t begin = row_begin[s], rows = row_begin[s + 1] - begin;
    std::vector<bool> wanted(static_cast<size_t>(rows), item.every_row);
    for (size_t pair = 0; pair < item.pairs->size(); pair += 2)
      if ((*item.pairs)[pair] == s - first) {
        const int32_t* from = positions.data() + begin;
        wanted[std::find(from, from + rows, (*item.pairs)[pair + 1]) - from] = true;
      }
    for (int32_t row = 0; row < rows; ++row)
      if (wanted[row] || (item.pooled && positions[begin + row] == 0)) queries.push_back(row);
    query_begin.push_back(static_cast<int32_t>(queries.size()));
  }
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

int64_t PackedBatch::result_row(int64_t sequence, int32_t position) const {
  const int32_t begin = row_begin[sequence], end = row_begin[sequence + 1];
  for (int32_t row = begin; row < end; ++row) {
    if (positions[row] != position) continue;
    if (!selects()) return row;
    const auto first = queries.begin() + query_begin[sequence],
               last = queries.begin() + query_begin[sequence + 1];
    const auto found = std::lower_bound(first, last, row - begin);
    return found != last && *found == row - begin ? found - queries.begin() : -1;
  }
  return -1;
}

}  // namespace albert
