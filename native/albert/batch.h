// Requests packed into one batch: a row for each real token, none for padding, and where every row came from.
#pragma once

#include <cstdint>
#include <vector>

#include "ops.h"

namespace albert {

// A caller's ragged sequences, one after another.
struct SequenceBatch {
  std::vector<int32_t> ids;      // [sum of lengths]
  std::vector<int32_t> types;    // the same size, or empty for zeros
  std::vector<uint8_t> mask;     // the same size, or empty for ones; 0 removes a token completely
  std::vector<int32_t> lengths;  // [B] tokens of each sequence, masked ones included
  int32_t choices = 0;           // multiple choice: sequences of one example, B is a multiple of it; else 0
};

// One caller's share of a packed batch, and which of its rows the last layer must finish.
struct BatchItem {
  const SequenceBatch* sequences;
  const std::vector<int32_t>* pairs;  // (sequence, position) of single rows; masked ones count for nothing
  bool pooled;                        // position 0 of every sequence
  bool every_row;
};

// Rows of one sequence follow one another in the order of their positions. A position that the mask removes
// has no row, with one exception: position 0 of a sequence that is pooled gets a last row that attends
// without being attended to, which is what masking a key means. A sequence without any real token has no
// rows.
struct PackedBatch {
  explicit PackedBatch(const std::vector<BatchItem>& items);

  std::vector<int32_t> ids, types, positions;  // [N]
  std::vector<int32_t> row_begin;              // [B + 1]
  std::vector<int32_t> keys;                   // [B]
  std::vector<int32_t> first_sequence;         // [items + 1]

  // The rows whose last hidden state is wanted, counted within their sequence. Empty when that is every row.
  std::vector<int32_t> queries;      // [R]
  std::vector<int32_t> query_begin;  // [B + 1]

  int64_t rows() const { return row_begin.back(); }
  int64_t result_rows() const { return selects() ? query_begin.back() : rows(); }
  bool selects() const { return !query_begin.empty(); }
  // The wanted rows, counted within the batch; empty when that is every row.
  std::vector<int32_t> selected_rows() const;
  // `count` sequences from `first`, as operations take them; with or without the selection of queries.
  Segments segments(int64_t first, int64_t count, bool selected) const;

  // Where the result of a sequence's row stands in the encoder's output, or -1 when it has none.
  int64_t result_row(int64_t sequence, int32_t position) const;

 private:
  void pack(const SequenceBatch& batch, bool pooled);
  // The batch's row of a position, or -1.
  int64_t row_of(int64_t sequence, int32_t position) const;
  void select(const BatchItem& item, int64_t first);
};

}  // namespace albert
