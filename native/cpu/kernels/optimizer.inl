// Moments of gradients and the step along an update: what LAMB and AdamW are made of.

double squared_norm(const float* x, int64_t count) {
  Vec sum = zero();
  for (int64_t i = 0; i < count; i += kWidth) {
    const Vec v = load_some(x + i, count - i);
    sum = fma(v, v, sum);
  }
  return reduce_add(sum);
}

// See MomentRule.
SquaredNorms moments(float* gradient, float* first, float* second, const float* weight,
                     const MomentRule& rule, float tensor_decay, int64_t count) {
  const Vec beta1 = broadcast(rule.beta1), beta2 = broadcast(rule.beta2), decay = broadcast(tensor_decay);
  const Vec rest1 = broadcast(rule.rest1), rest2 = broadcast(rule.rest2);
  const Vec epsilon = broadcast(rule.epsilon), gradient_scale = broadcast(rule.gradient_scale);
  Vec weights = zero(), updates = zero();
  for (int64_t i = 0; i < count; i += kWidth) {
    const int64_t some = count - i;
    const Vec w = load_some(weight + i, some), g = mul(load_some(gradient + i, some), gradient_scale);
    const Vec m = fma(rest1, g, mul(beta1, load_some(first + i, some)));
    const Vec v = fma(rest2, mul(g, g), mul(beta2, load_some(second + i, some)));
    store_some(first + i, m, some);
    store_some(second + i, v, some);
    // Lanes past the end hold zeros, and 0 / epsilon adds nothing to the norms.
    const Vec update = fma(decay, w, div(m, add(sqrt(v), epsilon)));
    store_some(gradient + i, update, some);
    weights = fma(w, w, weights);
    updates = fma(update, update, updates);
  }
  return {reduce_add(weights), reduce_add(updates)};
}

void descend(float* weight, const float* update, float rate, int64_t count) {
  for (int64_t i = 0; i < count; i += kWidth)
    store_some(weight + i,
               fma(broadcast(-rate), load_some(update + i, count - i), load_some(weight + i, count - i)),
               count - i);
}
