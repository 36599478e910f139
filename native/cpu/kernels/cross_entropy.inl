// Cross-entropy of rows of logits with their labels, and its gradient in their place.

// The gradient of -log softmax(x)[label] is softmax(x) - onehot(label).
void cross_entropy(float* losses, float* logits, const int32_t* labels, float scale, int64_t width,
                   int64_t rows) {
  for (int64_t r = 0; r < rows; ++r, logits += width) {
    float largest = logits[0];
    for (int64_t i = 0; i < width; ++i) largest = std::max(largest, logits[i]);
    const float label = logits[labels[r]] - largest;
    const Vec offset = broadcast(largest * kLog2E);
    Vec sum = zero();
    double total = 0;
    const int64_t whole = width / kWidth * kWidth;
    for (int64_t i = 0; i < whole; i += kWidth) {
      const Vec p = exp2<true>(sub(mul(load(logits + i), broadcast(kLog2E)), offset));
      sum = add(sum, p);
      store(logits + i, p);
    }
    total = reduce_add(sum);
    for (int64_t i = whole; i < width; ++i) total += logits[i] = std::exp(logits[i] - largest);
    losses[r] = static_cast<float>(std::log(total) - label);
    const Vec factor = broadcast(static_cast<float>(scale / total));
    for (int64_t i = 0; i < width; i += kWidth)
      store_some(logits + i, mul(load_some(logits + i, width - i), factor), width - i);
    logits[labels[r]] -= scale;
  }
}
