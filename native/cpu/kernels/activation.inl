// Elementwise functions on registers: powers of two, and the activations as types that a product's epilogue
// applies. kExact: to fp32's precision; else well below the rounding of bf16, where the result goes next.

// 2^t with a relative error of 1.5e-7 (degree 5) or 7.5e-5 (degree 3): t = n + f, a polynomial on [0, 1)
// fitted to 2^f, then a scale by 2^n.
template <bool kExact>
inline Vec exp2(Vec t) {
  if constexpr (!kScaleSaturates) t = max(min(t, broadcast(126.0f)), broadcast(-126.0f));
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

// x / (1 + 2^t)
template <bool kExact>
inline Vec sigmoid_product(Vec x, Vec t) {
  if constexpr (kExact) return div(x, add(broadcast(1), exp2<true>(t)));
  // Below 2^126 the reciprocal is a number, and its product with x is as good as zero.
  return mul(x, approximate_reciprocal(add(broadcast(1), exp2<false>(min(t, broadcast(126))))));
}

template <bool>
struct Identity {
  static Vec apply(Vec x) { return x; }
};

template <bool>
struct Relu {
  static Vec apply(Vec x) { return max(x, zero()); }
};

template <bool kExact>
struct Silu {
  static Vec apply(Vec x) { return sigmoid_product<kExact>(x, mul(x, broadcast(-kLog2E))); }
};

// 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), written as x sigmoid(2 u) = x / (1 + 2^(-2 u log2 e)).
template <bool kExact>
struct GeluNew {
  static Vec apply(Vec x) {
    constexpr float kLinear = -2 * 0.7978845608028654f * kLog2E, kCubic = kLinear * 0.044715f;
    return sigmoid_product<kExact>(x, mul(x, fma(mul(x, x), broadcast(kCubic), broadcast(kLinear))));
  }
};

// x Phi(x). Exact: Phi(-|x|) = erfc(z) / 2 with z = |x| / sqrt(2), and erfc(z) = t p(t) exp(-z^2), t = 1 / (1
// + 0.4 z). The polynomial was fitted to exp(z^2) erfc(z) on [0, 10] with a relative error of 9e-8, so the
// tail keeps its digits too. Else x / (1 + exp(-u)) with an odd polynomial u(x) fitted on [-6, 6]: off by at
// most 7e-5, and by 5e-4 of the result above -3; x^2 is capped before u turns back.
template <bool kExact>
struct Gelu {
  static Vec apply(Vec x) {
    if constexpr (!kExact) {
      const Vec square = min(mul(x, x), broadcast(36));
      Vec u = fma(square, broadcast(7.83919941e-4f * kLog2E), broadcast(-7.46186794e-2f * kLog2E));
      u = fma(u, square, broadcast(-1.59421443f * kLog2E));
      return sigmoid_product<false>(x, mul(x, u));
    }
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
    const Vec gauss = exp2<true>(mul(mul(x, x), broadcast(-0.5f * kLog2E)));
    const Vec tail = mul(mul(mul(p, t), gauss), mul(x, broadcast(0.5f)));  // x Phi(-|x|)
    return where_negative(x, tail, sub(x, tail));
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
};
