// Dropout from the counter-based generator: factors of 0 or 1 / (1 - p), drawn where they are needed.

// factors[i * kIndexStride + w * kWordStride] for word w of the counters first + i * step, i in [0, kCount).
template <int kCount, int kIndexStride, int kWordStride>
inline void keep_factors(float* factors, const Dropout& dropout, uint64_t first, uint64_t step) {
  const uint32_t threshold = static_cast<uint32_t>(static_cast<double>(dropout.probability) * 4294967296.0);
  const float factor = 1 / (1 - dropout.probability);
  for (int i = 0; i < kCount; ++i) {
    const Philox4 random = philox(dropout.seed, dropout.stream, first + static_cast<uint64_t>(i) * step);
    for (int w = 0; w < 4; ++w)
      factors[i * kIndexStride + w * kWordStride] = random.word[w] >= threshold ? factor : 0;
  }
}

// The counter of the first element of a row; see Dropout.
inline uint64_t row_counter(int64_t row) { return static_cast<uint64_t>(row) << 16; }

inline void dropout_row(float* y, const float* x, const Dropout& dropout, int64_t row, int64_t width) {
  constexpr int kQuads = 16;
  alignas(64) float factors[4 * kQuads];
  for (int64_t begin = 0; begin < width; begin += 4 * kQuads) {
    keep_factors<kQuads, 4, 1>(factors, dropout, row_counter(row) + static_cast<uint64_t>(begin / 4), 1);
    const int64_t end = std::min<int64_t>(4 * kQuads, width - begin);
    for (int64_t i = 0; i < end; i += kWidth)
      store_some(y + begin + i, mul(load_some(x + begin + i, end - i), load(factors + i)), end - i);
  }
}

void dropout(float* y, const float* x, int64_t stride, const Dropout& dropout, int64_t first_row,
             int64_t width, int64_t rows) {
  for (int64_t r = 0; r < rows; ++r)
    dropout_row(y + r * stride, x + r * stride, dropout, first_row + r, width);
}
