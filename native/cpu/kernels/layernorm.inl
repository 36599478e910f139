// LayerNorm of rows: mean, then variance around it (two passes, biased), then the affine map.

// The sum of x[i] - centre over a row, or of its square; four chains, because one would wait for each
// addition.
template <bool kSquared>
inline float sum_of_row(const float* x, int64_t width, float centre) {
  const Vec middle = broadcast(centre);
  Vec sum[4] = {zero(), zero(), zero(), zero()};
  const auto add_term = [&](Vec& to, Vec v) {
    const Vec centred = sub(v, middle);
    to = kSquared ? fma(centred, centred, to) : add(to, centred);
  };
  const int64_t whole = width / kWidth * kWidth, fours = width / (4 * kWidth) * (4 * kWidth);
  int64_t i = 0;
  for (; i < fours; i += 4 * kWidth)
    for (int v = 0; v < 4; ++v) add_term(sum[v], load(x + i + v * kWidth));
  for (; i < whole; i += kWidth) add_term(sum[0], load(x + i));
  float total = reduce_add(add(add(sum[0], sum[1]), add(sum[2], sum[3])));
  for (; i < width; ++i) total += kSquared ? (x[i] - centre) * (x[i] - centre) : x[i] - centre;
  return total;
}

// Source: Ba, Kiros, Hinton 2016 (arXiv 1607.06450), with the population variance as the ALBERT release uses
// it.
inline void layernorm_row(float* y, const float* x, const LayerNormWeights& norm, int64_t width) {
  const float mean = sum_of_row<false>(x, width, 0) / static_cast<float>(width);
  const float variance = sum_of_row<true>(x, width, mean) / static_cast<float>(width);
  const Vec centre = broadcast(mean);
  const Vec factor = broadcast(1 / std::sqrt(variance + norm.epsilon));
  for (int64_t i = 0; i < width; i += kWidth) {
    const int64_t count = std::min(kWidth, width - i);
    const Vec normal = mul(sub(load_some(x + i, count), centre), factor);
    store_some(y + i, fma(normal, load_some(norm.weight + i, count), load_some(norm.bias + i, count)), count);
  }
}

void layernorm(float* y, int64_t y_stride, const float* x, int64_t x_stride, const LayerNormWeights& norm,
               int64_t width, int64_t rows) {
  for (int64_t row = 0; row < rows; ++row) layernorm_row(y + row * y_stride, x + row * x_stride, norm, width);
}
