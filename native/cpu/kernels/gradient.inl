// The operands of a weight gradient, dW = dY^T X: X as panels, and dY turned so that its columns are rows.
// The depth of the product is the batch's rows.

// Lane l of kWidth columns: row l, or rows 2 l and 2 l + 1 of which an odd last one has no partner.
template <Precision kPrecision>
inline Lanes lane_of_rows(const float* const* rows, int64_t l, int64_t count, int64_t column,
                          int64_t columns) {
  if constexpr (kPrecision == Precision::kFp32) return as_lanes(load_some(rows[l] + column, columns));
  const Vec low = load_some(rows[2 * l] + column, columns);
  return pair_bf16(low, 2 * l + 1 < count ? load_some(rows[2 * l + 1] + column, columns) : zero());
}

// Lane l of kWidth columns of a row of the product, zero past the last.
template <Precision kPrecision>
inline Lanes row_lane(const float* const* rows, int64_t l, int64_t count, int64_t column, int64_t columns) {
  if (l * values_per_lane(kPrecision) / kRowLanes<kPrecision> >= count) return zero_lanes();
  if constexpr (kRowLanes<kPrecision> == 2)
    return pair_bf16(zero(), load_some(rows[l] + column, columns));
  else
    return lane_of_rows<kPrecision>(rows, l, count, column, columns);
}

// panel[l][c] for the columns [column, column + columns) of `count` rows, zero past them.
template <Precision kPrecision>
void panel_of_rows(Lane* panel, const float* const* rows, int64_t count, int64_t column, int64_t columns) {
  for (int64_t l = 0; l < lanes_of(count, kPrecision); ++l)
    for (int64_t c = 0; c < kPanelWidth; c += kWidth)
      store_lanes(
          panel + l * kPanelWidth + c,
          c < columns ? lane_of_rows<kPrecision>(rows, l, count, column + c, columns - c) : zero_lanes());
}

// out[c][l] for kWidth columns from `column` on, of which `columns` exist; their sums over the rows are added
// to `sums`. Lanes up to a multiple of kWidth are written, those past the rows as zeros.
template <Precision kPrecision>
void columns_as_rows(Lane* out, int64_t out_stride, float* sums, const float* const* rows, int64_t count,
                     int64_t column, int64_t columns) {
  alignas(64) Lane square[kWidth * kWidth];
  const Lane* lanes[kWidth];
  for (int64_t i = 0; i < kWidth; ++i) lanes[i] = square + i * kWidth;
  const int64_t depth = lanes_of(count, kPrecision) * kRowLanes<kPrecision>;
  for (int64_t l = 0; l < depth; l += kWidth) {
    for (int64_t i = 0; i < kWidth; ++i)
      store_lanes(square + i * kWidth, row_lane<kPrecision>(rows, l + i, count, column, columns));
    transpose(out + l, out_stride, lanes);
  }
  Vec sum = zero();
  for (int64_t r = 0; r < count; ++r) sum = add(sum, load_some(rows[r] + column, columns));
  store_some(sums + column, add(sum, load_some(sums + column, columns)), columns);
}
