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
struct RowMoments {
  Vec centre, factor;  // mean, and 1 / sqrt(variance + epsilon)
  RowMoments(const float* x, int64_t width, float epsilon) {
    const float mean = sum_of_row<false>(x, width, 0) / static_cast<float>(width);
    const float variance = sum_of_row<true>(x, width, mean) / static_cast<float>(width);
    centre = broadcast(mean);
    factor = broadcast(1 / std::sqrt(variance + epsilon));
  }
  Vec normal(Vec x) const { return mul(sub(x, centre), factor); }
};

inline void layernorm_row(float* y, const float* x, const LayerNormWeights& norm, int64_t width) {
  const RowMoments row(x, width, norm.epsilon);
  for (int64_t i = 0; i < width; i += kWidth) {
    const int64_t count = std::min(kWidth, width - i);
    const Vec normal = row.normal(load_some(x + i, count));
    store_some(y + i, fma(normal, load_some(norm.weight + i, count), load_some(norm.bias + i, count)), count);
  }
}

void layernorm(float* y, int64_t y_stride, const float* x, int64_t x_stride, const LayerNormWeights& norm,
               int64_t width, int64_t rows) {
  for (int64_t row = 0; row < rows; ++row) layernorm_row(y + row * y_stride, x + row * x_stride, norm, width);
}

// With n = (x - mean) / sigma and d = dy weight: dx = (d - mean(d) - n mean(d n)) / sigma. Adds dy n and dy
// to the gradients of weight and bias.
void layernorm_backward(float* dx, const LayerNormGradient& gradient, const float* dy, const float* x,
                        int64_t stride, const LayerNormWeights& norm, int64_t width, int64_t rows) {
  for (int64_t r = 0; r < rows; ++r, dx += stride, dy += stride, x += stride) {
    const RowMoments row(x, width, norm.epsilon);
    Vec sum = zero(), product = zero();
    for (int64_t i = 0; i < width; i += kWidth) {
      const int64_t some = width - i;
      const Vec g = load_some(dy + i, some), n = row.normal(load_some(x + i, some));
      const Vec d = mul(g, load_some(norm.weight + i, some));
      sum = add(sum, d);
      product = fma(d, n, product);
      store_some(gradient.weight + i, fma(g, n, load_some(gradient.weight + i, some)), some);
      store_some(gradient.bias + i, add(g, load_some(gradient.bias + i, some)), some);
    }
    const Vec mean = broadcast(reduce_add(sum) / static_cast<float>(width));
    const Vec slope = broadcast(reduce_add(product) / static_cast<float>(width));
    for (int64_t i = 0; i < width; i += kWidth) {
      const int64_t some = width - i;
      const Vec n = row.normal(load_some(x + i, some));
      const Vec d = mul(load_some(dy + i, some), load_some(norm.weight + i, some));
      store_some(dx + i, mul(sub(sub(d, mean), mul(n, slope)), row.factor), some);
    }
  }
}

// sum = x + dropout(sum), y = LayerNorm(sum)
void residual_layernorm(float* y, float* sum, const float* x, int64_t stride, const LayerNormWeights& norm,
                        const Dropout& dropout, int64_t first_row, int64_t width, int64_t rows) {
  for (int64_t r = 0; r < rows; ++r, y += stride, sum += stride, x += stride) {
    if (dropout.probability > 0) dropout_row(sum, sum, dropout, first_row + r, width);
    for (int64_t i = 0; i < width; i += kWidth)
      store_some(sum + i, add(load_some(sum + i, width - i), load_some(x + i, width - i)), width - i);
    layernorm_row(y, sum, norm, width);
  }
}
