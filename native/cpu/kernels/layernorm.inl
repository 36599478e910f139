// LayerNorm of rows: mean, then variance around it (two passes, biased), then the affine map.

inline Vec load_some(const float* p, int64_t count) {
  return count >= kWidth ? load(p) : load_first(p, count);
}

// Source: Ba, Kiros, Hinton 2016 (arXiv 1607.06450), with the population variance as the ALBERT release uses
// it.
inline void layernorm_row(float* y, const float* x, const LayerNormWeights& norm, int64_t width) {
  const int64_t whole = width / kWidth * kWidth;
  Vec sum = zero();
  for (int64_t i = 0; i < whole; i += kWidth) sum = add(sum, load(x + i));
  float total = reduce_add(sum);
  for (int64_t i = whole; i < width; ++i) total += x[i];
  const float mean = total / static_cast<float>(width);

  Vec squares = zero();
  for (int64_t i = 0; i < whole; i += kWidth) {
    const Vec centred = sub(load(x + i), broadcast(mean));
    squares = fma(centred, centred, squares);
  }
  float variance = reduce_add(squares);
  for (int64_t i = whole; i < width; ++i) variance += (x[i] - mean) * (x[i] - mean);
  variance /= static_cast<float>(width);

  const float scale = 1 / std::sqrt(variance + norm.epsilon);
  for (int64_t i = 0; i < width; i += kWidth) {
    const int64_t count = std::min(kWidth, width - i);
    const Vec normal = mul(sub(load_some(x + i, count), broadcast(mean)), broadcast(scale));
    store_some(y + i, fma(normal, load_some(norm.weight + i, count), load_some(norm.bias + i, count)), count);
  }
}

void layernorm(float* y, int64_t y_stride, const float* x, int64_t x_stride, const LayerNormWeights& norm,
               int64_t width, int64_t rows) {
  for (int64_t row = 0; row < rows; ++row) layernorm_row(y + row * y_stride, x + row * x_stride, norm, width);
}
