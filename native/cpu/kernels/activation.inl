// Elementwise functions on registers: powers of two, and the activations as types that a product's epilogue
// applies. kExact: to fp32's precision; else well below the rounding of bf16, where the result goes next.

// 2^t with a relative error of 1.5e-7 (degree 5) or 7.5e-5 (degree 3): t = n + f, a polynomial on [0, 1)
// fitted to 2^f, then a scale by 2^n. NaN stays NaN: min and max give their second argument then.
template <bool kExact>
inline Vec exp2(Vec t) {
  if constexpr (!kScaleSaturates) t = max(broadcast(-126.0f), min(broadcast(126.0f), t));
  const Vec f = fraction(t);
  Vec p;
  if constexpr (kExact) {
    p = broadcast(0.0018775767f);
    p = fma(p, f, broadcast(0.0089893397f));
    p = fma(p, f, broadcast(0.0558263175f));
    p = fma(p, f, broadcast(0.2401536107f));
    p = fma(p, f, broadcast(0.6931530833f));
    p = fma(p, f, broadcast(0.9999999404f));
  } else {
    p = broadcast(0.0780245215f);
    p = fma(p, f, broadcast(0.2260671556f));
    p = fma(p, f, broadcast(0.6958335638f));
    p = fma(p, f, broadcast(0.9999251962f));
  }
  return scale(p, t);
}

constexpr float kLog2E = 1.4426950408889634f;

// A function's value and its derivative at the same place.
struct Slope {
  Vec value, slope;
};

// x sigmoid(u) where `du` is u's derivative: s = sigmoid(u), and (x s)' = s + x s (1 - s) u'.
inline Slope sigmoid_slope(Vec x, Vec u, Vec du) {
  const Vec s = div(broadcast(1), add(broadcast(1), exp2<true>(mul(u, broadcast(-kLog2E)))));
  const Vec value = mul(x, s);
  return {value, fma(mul(value, sub(broadcast(1), s)), du, s)};
}

// x / (1 + 2^t)
template <bool kExact>
inline Vec sigmoid_product(Vec x, Vec t) {
  if constexpr (kExact) return div(x, add(broadcast(1), exp2<true>(t)));
  // Below 2^126 the reciprocal is a number, and its product with x is as good as zero.
  return mul(x, approximate_reciprocal(add(broadcast(1), exp2<false>(min(t, broadcast(126))))));
}

// GELU to the precision of bf16, by the pieces of g. NaN stays NaN, since max gives its second argument then.
inline Vec gelu_of_pieces(Vec x, const GeluPieces& pieces) {
  const Vec a = min(abs(x), broadcast(GeluPieces::kEnd));
  const Vec piece = fma(a, broadcast(GeluPieces::kPerUnit), broadcast(kNoFraction));  // in its lowest bits
  Vec g = look_up(pieces.coefficients[3], piece);
  for (int power = 2; power >= 0; --power) g = fma(g, a, look_up(pieces.coefficients[power], piece));
  return sub(max(zero(), x), g);
}

template <bool>
struct Identity {
  static Vec apply(Vec x) { return x; }
  static Slope slope(Vec x) { return {x, broadcast(1)}; }
};

template <bool>
struct Relu {
  static Vec apply(Vec x) { return max(zero(), x); }  // NaN stays NaN, see gelu_of_pieces()
  static Slope slope(Vec x) { return {apply(x), where_negative(sub(zero(), x), broadcast(1), zero())}; }
};

template <bool kExact>
struct Silu {
  static Vec apply(Vec x) { return sigmoid_product<kExact>(x, mul(x, broadcast(-kLog2E))); }
  static Slope slope(Vec x) { return sigmoid_slope(x, x, broadcast(1)); }
};

// 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), written as x sigmoid(2 u) = x / (1 + 2^(-2 u log2 e)).
template <bool kExact>
struct GeluNew {
  static Vec apply(Vec x) {
    if constexpr (!kExact && kLooksUp) return gelu_of_pieces(x, kTanhPieces);
    constexpr float kLinear = -2 * 0.7978845608028654f * kLog2E, kCubic = kLinear * 0.044715f;
    return sigmoid_product<kExact>(x, mul(x, fma(mul(x, x), broadcast(kCubic), broadcast(kLinear))));
  }
  static Slope slope(Vec x) {
    constexpr float kLinear = 2 * 0.7978845608028654f, kCubic = kLinear * 0.044715f;
    const Vec square = mul(x, x);
    return sigmoid_slope(x, mul(x, fma(square, broadcast(kCubic), broadcast(kLinear))),
                         fma(square, broadcast(3 * kCubic), broadcast(kLinear)));
  }
};

// x Phi(x). Exact: Phi(-|x|) = erfc(z) / 2 with z = |x| / sqrt(2), and erfc(z) = t p(t) exp(-z^2), t = 1 / (1
// + 0.4 z). The polynomial was fitted to exp(z^2) erfc(z) on [0, 10] with a relative error of 9e-8, so the
// tail keeps its digits too. Else x / (1 + exp(-u)) with an odd polynomial u(x) fitted on [-6, 6]: off by at
// most 7e-5, and by 5e-4 of the result above -3; x^2 is capped before u turns back.
template <bool kExact>
struct Gelu {
  static Vec apply(Vec x) {
    if constexpr (!kExact && kLooksUp) return gelu_of_pieces(x, kErfPieces);
    if constexpr (!kExact) {
      const Vec square = min(mul(x, x), broadcast(36));
      Vec u = fma(square, broadcast(7.83919941e-4f * kLog2E), broadcast(-7.46186794e-2f * kLog2E));
      u = fma(u, square, broadcast(-1.59421443f * kLog2E));
      return sigmoid_product<false>(x, mul(x, u));
    }
    const Vec gauss = exp2<true>(mul(mul(x, x), broadcast(-0.5f * kLog2E)));
    const Vec tail = mul(half_tail(x, gauss), x);  // x Phi(-|x|)
    return where_negative(x, tail, sub(x, tail));
  }
  // The derivative is Phi(x) + x phi(x), phi(x) = exp(-x^2 / 2) / sqrt(2 pi).
  static Slope slope(Vec x) {
    const Vec gauss = exp2<true>(mul(mul(x, x), broadcast(-0.5f * kLog2E)));
    const Vec tail = half_tail(x, gauss), phi = where_negative(x, tail, sub(broadcast(1), tail));
    return {mul(x, phi), fma(mul(x, broadcast(0.3989422804014327f)), gauss, phi)};
  }

 private:
  // Phi(-|x|), given gauss = exp(-x^2 / 2).
  static Vec half_tail(Vec x, Vec gauss) {
    const Vec t = div(broadcast(1), fma(abs(x), broadcast(0.4f * 0.70710678118654752f), broadcast(1)));
    Vec p = broadcast(0.03850850901f);
    p = fma(p, t, broadcast(-0.12744643493f));
    p = fma(p, t, broadcast(0.05845088810f));
    p = fma(p, t, broadcast(0.11585861329f));
    p = fma(p, t, broadcast(0.06146568697f));
    p = fma(p, t, broadcast(0.20074254835f));
    p = fma(p, t, broadcast(0.20012525498f));
    p = fma(p, t, broadcast(0.22667326520f));
    p = fma(p, t, broadcast(0.22562170694f));
    return mul(mul(mul(p, t), broadcast(0.5f)), gauss);
  }
};

// Exact to the last digit through the C library: it serves poolers, a few values a sequence.
template <bool>
struct Tanh {
  static Vec apply(Vec x) {
    float lanes[kWidth];
    store(lanes, x);
    for (float& lane : lanes) lane = std::tanh(lane);
    return load(lanes);
  }
  static Slope slope(Vec x) {
    const Vec value = apply(x);
    return {value, sub(broadcast(1), mul(value, value))};
  }
};

// A call of body with the function type that `activation` names.
template <bool kExact, typename Body>
inline void with_activation(Activation activation, const Body& body) {
  switch (activation) {
    case Activation::kIdentity:
      return body(Identity<kExact>());
    case Activation::kGelu:
      return body(Gelu<kExact>());
    case Activation::kGeluNew:
      return body(GeluNew<kExact>());
    case Activation::kRelu:
      return body(Relu<kExact>());
    case Activation::kSilu:
      return body(Silu<kExact>());
    case Activation::kTanh:
      return body(Tanh<kExact>());
  }
}

void activation_forward(float* y, const float* x, Activation activation, int64_t count) {
  with_activation<true>(activation, [&](auto function) {
    for (int64_t i = 0; i < count; i += kWidth)
      store_some(y + i, function.apply(load_some(x + i, count - i)), count - i);
  });
}

// dx = dy activation'(x), y = activation(x)
void activation_backward(float* dx, float* y, const float* dy, const float* x, Activation activation,
                         int64_t count) {
  with_activation<true>(activation, [&](auto function) {
    for (int64_t i = 0; i < count; i += kWidth) {
      const Slope at = function.slope(load_some(x + i, count - i));
      store_some(dx + i, mul(load_some(dy + i, count - i), at.slope), count - i);
      store_some(y + i, at.value, count - i);
    }
  });
}
