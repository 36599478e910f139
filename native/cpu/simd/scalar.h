// Register functions of plain C++: one lane, for machines without a known vector unit and as the kernels'
// readable form.

using Vec = float;
using Lanes = Lane;
constexpr int64_t kWidth = 1;
constexpr int kTileRows = 4, kTileVectors = 4;

inline Vec as_vec(Lanes v) {
  float value;
  std::memcpy(&value, &v, sizeof value);
  return value;
}
inline Lanes as_lanes(Vec v) {
  Lane bits;
  std::memcpy(&bits, &v, sizeof bits);
  return bits;
}

inline Vec load(const float* p) { return *p; }
inline void store(float* p, Vec v) { *p = v; }
inline Vec load_first(const float* p, int64_t) { return *p; }
inline void store_first(float* p, Vec v, int64_t) { *p = v; }
inline Vec broadcast(float x) { return x; }
inline Vec zero() { return 0; }
inline Vec add(Vec a, Vec b) { return a + b; }
inline Vec sub(Vec a, Vec b) { return a - b; }
inline Vec mul(Vec a, Vec b) { return a * b; }
inline Vec div(Vec a, Vec b) { return a / b; }
inline Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
inline Vec max(Vec a, Vec b) { return a > b ? a : b; }
inline Vec min(Vec a, Vec b) { return a < b ? a : b; }
inline Vec sqrt(Vec v) { return std::sqrt(v); }
inline Vec abs(Vec v) { return std::fabs(v); }
inline Vec approximate_reciprocal(Vec v) { return 1 / v; }
// v - floor(v), and v * 2^floor(n) for n in [-126, 127].
inline Vec fraction(Vec v) { return v - std::floor(v); }
inline Vec scale(Vec v, Vec n) { return n == n ? std::ldexp(v, static_cast<int>(std::floor(n))) : n; }
constexpr bool kScaleSaturates = false;
constexpr bool kLooksUp = false;  // so that nothing calls look_up()
template <typename T>
Vec look_up(const T* table, Vec i);
inline Vec where_negative(Vec x, Vec a, Vec b) { return x < 0 ? a : b; }
inline float reduce_add(Vec v) { return v; }
inline float reduce_min(Vec v) { return v; }
inline float reduce_max(Vec v) { return v; }

inline Lanes load_lanes(const Lane* p) {
  Lane bits;
  std::memcpy(&bits, p, sizeof bits);
  return bits;
}
inline void store_lanes(Lane* p, Lanes v) { std::memcpy(p, &v, sizeof v); }
inline Lanes zero_lanes() { return 0; }
inline Lanes broadcast_lane(const Lane* p) { return load_lanes(p); }
inline Vec to_float(Lanes integers) { return static_cast<float>(static_cast<int32_t>(integers)); }

// x meets the lower value of w (kPart 0), or the upper one (1).
constexpr int kBf16RowLanes = 2;
template <int kPart>
inline Lanes dot_bf16(Lanes x, Lanes w, Lanes sum) {
  return as_lanes(fma(as_vec(x), as_vec(kPart == 0 ? w << 16 : w & 0xffff0000u), as_vec(sum)));
}
// x holds unsigned bytes, w signed ones.
constexpr bool kPairsIn16Bits = false, kSignedRows = false;
inline Lanes dot_int8(Lanes x, Lanes w, Lanes sum) {
  int32_t total = static_cast<int32_t>(sum);
  for (int shift = 0; shift < 32; shift += 8)
    total += static_cast<int32_t>(x >> shift & 0xff) * static_cast<int8_t>(w >> shift);
  return static_cast<Lanes>(total);
}

// Rounded to nearest even.
inline Bf16 narrow_bf16(Vec v) {
  const Lane bits = as_lanes(v);
  return static_cast<Bf16>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline Lanes pair_bf16(Vec low, Vec high) {
  return narrow_bf16(low) | static_cast<Lane>(narrow_bf16(high)) << 16;
}
inline Vec load(const Bf16* p) { return as_vec(static_cast<Lane>(*p) << 16); }
inline Vec load_first(const Bf16* p, int64_t) { return load(p); }
inline void store(Bf16* p, Vec v) { *p = narrow_bf16(v); }
inline void store_first(Bf16* p, Vec v, int64_t) { store(p, v); }
// Rounded to an integer and clamped to 0..255.
inline void store_bytes(uint8_t* p, Vec v, int64_t) {
  *p = static_cast<uint8_t>(std::nearbyint(min(max(v, 0.0f), 255.0f)));
}

inline void transpose(Lane* out, int64_t, const Lane* const* rows) { store_lanes(out, load_lanes(rows[0])); }

constexpr int64_t kAheadLanes = 0;  // it fetches nothing ahead
constexpr bool kFillsTiles = false;
constexpr bool has_whole_tile(Precision) { return false; }
template <Precision kPrecision>
void whole_tile(Lane* sums, const Lane* x, int64_t x_stride, const Lane* panel, int64_t depth, const Lane*);
