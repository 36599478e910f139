// Cross-entropy of a row of logits with its label, and its gradient in their place.

// The gradient of -log softmax(x)[label] is softmax(x) - onehot(label). That of the label is taken as minus
// the sum of the others, which keeps its digits where the label is nearly certain. hit: no other logit is
// larger.
void cross_entropy(float* loss, uint8_t* hit, float* logits, int32_t label, float scale, int64_t width) {
  const int64_t whole = width / kWidth * kWidth;
  Vec most = broadcast(logits[0]);
  for (int64_t i = 0; i < whole; i += kWidth) most = max(most, load(logits + i));
  float largest = reduce_max(most);
  for (int64_t i = whole; i < width; ++i) largest = std::max(largest, logits[i]);
  const double below = static_cast<double>(largest) - logits[label], own = std::exp(-below);
  *hit = logits[label] == largest;
  logits[label] = -std::numeric_limits<float>::infinity();

  const Vec offset = broadcast(largest * kLog2E);
  Vec sum = zero();
  for (int64_t i = 0; i < whole; i += kWidth) {
    const Vec p = exp2<true>(sub(mul(load(logits + i), broadcast(kLog2E)), offset));
    sum = add(sum, p);
    store(logits + i, p);
  }
  double others = reduce_add(sum);
  for (int64_t i = whole; i < width; ++i) others += logits[i] = std::exp(logits[i] - largest);
  *loss = static_cast<float>(softmax_loss(below, others));
  const double factor = scale / (others + own);
  for (int64_t i = 0; i < width; i += kWidth)
    store_some(logits + i, mul(load_some(logits + i, width - i), broadcast(static_cast<float>(factor))),
               width - i);
  logits[label] = static_cast<float>(-others * factor);
}
