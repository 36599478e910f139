// Embedding rows: word + token type + position, then LayerNorm over the embedding width.

void embedding(float* y, int64_t y_stride, const int32_t* ids, const int32_t* types, const int32_t* positions,
               const EmbeddingWeights& weights, int64_t rows) {
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
    layernorm_row(y, y, weights.norm, width);
  }
}
