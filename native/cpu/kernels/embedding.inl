// Embedding rows: word + token type + position, then LayerNorm over the embedding width.

// `sums`, where it is not null, keeps what LayerNorm was given.
void embedding(float* y, float* sums, int64_t y_stride, const int32_t* ids, const int32_t* types,
               const int32_t* positions, const EmbeddingWeights& weights, int64_t rows) {
  const int64_t width = weights.width;
  for (int64_t row = 0; row < rows; ++row, y += y_stride) {
    const float* word = weights.word + ids[row] * width;
    const float* type = weights.type + types[row] * width;
    const float* position = weights.position + positions[row] * width;
    for (int64_t i = 0; i < width; i += kWidth) {
      const int64_t count = std::min(kWidth, width - i);
      const Vec sum =
          add(add(load_some(word + i, count), load_some(type + i, count)), load_some(position + i, count));
      store_some(y + i, sum, count);
    }
    if (sums) std::copy_n(y, width, sums + row * y_stride);
    layernorm_row(y, y, weights.norm, width);
  }
}

inline void add_row(float* sum, const float* x, int64_t width) {
  for (int64_t i = 0; i < width; i += kWidth)
    store_some(sum + i, add(load_some(sum + i, width - i), load_some(x + i, width - i)), width - i);
}

void embedding_backward(const EmbeddingGradient& gradient, const float* dsum, int64_t stride,
                        const int32_t* ids, const int32_t* types, const int32_t* positions, int64_t width,
                        int64_t rows) {
  for (int64_t row = 0; row < rows; ++row, dsum += stride) {
    add_row(gradient.word + ids[row] * width, dsum, width);
    add_row(gradient.type + types[row] * width, dsum, width);
    add_row(gradient.position + positions[row] * width, dsum, width);
  }
}
