// Elementwise functions on registers: powers of two, the activations, and a dispatch from the enum to a type.

// 2^t with a relative error of 1.5e-7: t = n + f, a degree-5 polynomial on [0, 1) fitted to 2^f, then a scale
// by 2^n. Beyond the exponents of normal numbers the result stays at the nearest of them.
inline Vec exp2(Vec t) {
  t = max(min(t, broadcast(126.0f)), broadcast(-126.0f));
  const Vec n = floor(t), f = sub(t, n);
  Vec p = broadcast(0.0018775767f);
  p = fma(p, f, broadcast(0.0089893397f));
  p = fma(p, f, broadcast(0.0558263175f));
  p = fma(p, f, broadcast(0.2401536107f));
  p = fma(p, f, broadcast(0.6931530833f));
  p = fma(p, f, broadcast(0.9999999404f));
  return scale(p, n);
}

constexpr float kLog2E = 1.4426950408889634f;

struct Identity {
  static Vec apply(Vec x) { return x; }
};

struct Relu {
  static Vec apply(Vec x) { return max(x, zero()); }
};

struct Silu {
  static Vec apply(Vec x) { return div(x, add(broadcast(1), exp2(mul(x, broadcast(-kLog2E))))); }
};

// 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), written as x sigmoid(2 u) = x / (1 + 2^(-2 u log2 e)).
struct GeluNew {
  static Vec apply(Vec x) {
    constexpr float kLinear = -2 * 0.7978845608028654f * kLog2E, kCubic = kLinear * 0.044715f;
    const Vec t = mul(x, fma(mul(x, x), broadcast(kCubic), broadcast(kLinear)));
    return div(x, add(broadcast(1), exp2(t)));
  }
};

// x Phi(x) with Phi(-|x|) = erfc(z) / 2, z = |x| / sqrt(2), and erfc(z) = t p(t) exp(-z^2), t = 1 / (1 + 0.4
// z). The polynomial was fitted to exp(z^2) erfc(z) on [0, 10] with a relative error of 9e-8, so the tail
// keeps its digits too.
struct Gelu {
  static Vec apply(Vec x) {
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
    const Vec gauss = exp2(mul(mul(x, x), broadcast(-0.5f * kLog2E)));
    const Vec tail = mul(mul(mul(p, t), gauss), mul(x, broadcast(0.5f)));  // x Phi(-|x|)
    return where_negative(x, tail, sub(x, tail));
  }
};

// Exact to the last digit through the C library: it serves poolers, a few values a sequence.
struct Tanh {
  static Vec apply(Vec x) {
    float lanes[kWidth];
    store(lanes, x);
    for (float& lane : lanes) lane = std::tanh(lane);
    return load(lanes);
  }
};
