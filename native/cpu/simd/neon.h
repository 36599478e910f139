// Register functions of 64-bit Arm NEON: 4 lanes, 32 registers. ALBERT_NEON_DOTPROD and ALBERT_NEON_BF16 say
// which dot products the spine's processors have. Those are assembly, because compilers offer the intrinsics
// only where a whole file has the extension.

using Vec = float32x4_t;   // 4 fp32 values
using Lanes = uint32x4_t;  // 4 lanes of a product's operands, or of its sums
constexpr int64_t kWidth = 4;
// 8 x 3 sums: 24 of 32 registers.
constexpr int kTileRows = 8, kTileVectors = 3;

inline Vec load(const float* p) { return vld1q_f32(p); }
inline void store(float* p, Vec v) { vst1q_f32(p, v); }
inline Vec load_first(const float* p, int64_t count) {
  float lanes[4] = {0, 0, 0, 0};
  for (int64_t i = 0; i < count; ++i) lanes[i] = p[i];
  return vld1q_f32(lanes);
}
inline void store_first(float* p, Vec v, int64_t count) {
  float lanes[4];
  vst1q_f32(lanes, v);
  for (int64_t i = 0; i < count; ++i) p[i] = lanes[i];
}
inline Vec broadcast(float x) { return vdupq_n_f32(x); }
inline Vec zero() { return vdupq_n_f32(0); }
inline Vec add(Vec a, Vec b) { return vaddq_f32(a, b); }
inline Vec sub(Vec a, Vec b) { return vsubq_f32(a, b); }
inline Vec mul(Vec a, Vec b) { return vmulq_f32(a, b); }
inline Vec div(Vec a, Vec b) { return vdivq_f32(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
inline Vec max(Vec a, Vec b) { return vmaxq_f32(a, b); }
inline Vec min(Vec a, Vec b) { return vminq_f32(a, b); }
inline Vec sqrt(Vec v) { return vsqrtq_f32(v); }
inline Vec abs(Vec v) { return vabsq_f32(v); }
// The estimate has 8 bits; a step of Newton's method makes them 16.
inline Vec approximate_reciprocal(Vec v) {
  const Vec estimate = vrecpeq_f32(v);
  return vmulq_f32(estimate, vrecpsq_f32(v, estimate));
}
// v - floor(v), and v * 2^floor(n) for n in [-126, 127]: the power is built in the exponent bits.
inline Vec fraction(Vec v) { return vsubq_f32(v, vrndmq_f32(v)); }
inline Vec scale(Vec v, Vec n) {
  const int32x4_t exponent = vaddq_s32(vcvtmq_s32_f32(n), vdupq_n_s32(127));
  return vmulq_f32(v, vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23)));
}
constexpr bool kScaleSaturates = false;
constexpr bool kLooksUp = false;  // so that nothing calls look_up()
template <typename T>
Vec look_up(const T* table, Vec i);
// a where x < 0, else b
inline Vec where_negative(Vec x, Vec a, Vec b) { return vbslq_f32(vcltzq_f32(x), a, b); }
inline float reduce_add(Vec v) { return vaddvq_f32(v); }
inline float reduce_min(Vec v) { return vminvq_f32(v); }
inline float reduce_max(Vec v) { return vmaxvq_f32(v); }

inline Lanes load_lanes(const Lane* p) { return vld1q_u32(p); }
inline void store_lanes(Lane* p, Lanes v) { vst1q_u32(p, v); }
inline Lanes zero_lanes() { return vdupq_n_u32(0); }
inline Lanes broadcast_lane(const Lane* p) { return vld1q_dup_u32(p); }
inline Vec as_vec(Lanes v) { return vreinterpretq_f32_u32(v); }
inline Lanes as_lanes(Vec v) { return vreinterpretq_u32_f32(v); }
inline Vec to_float(Lanes integers) { return vcvtq_f32_s32(vreinterpretq_s32_u32(integers)); }

#if defined(ALBERT_NEON_BF16)
// Two values of x meet two of w.
constexpr int kBf16RowLanes = 1;
template <int>
inline Lanes dot_bf16(Lanes x, Lanes w, Lanes sum) {
  asm("bfdot %0.4s, %1.8h, %2.8h" : "+w"(sum) : "w"(x), "w"(w));
  return sum;
}
#else
// x meets the lower value of each lane of w (kPart 0), or the upper one (1).
constexpr int kBf16RowLanes = 2;
template <int kPart>
inline Lanes dot_bf16(Lanes x, Lanes w, Lanes sum) {
  const Lanes value = kPart == 0 ? vshlq_n_u32(w, 16) : vandq_u32(w, vdupq_n_u32(0xffff0000u));
  return as_lanes(fma(as_vec(x), as_vec(value), as_vec(sum)));
}
#endif

#if defined(ALBERT_NEON_DOTPROD)
// Both hold signed bytes.
constexpr bool kPairsIn16Bits = false, kSignedRows = true;
inline Lanes dot_int8(Lanes x, Lanes w, Lanes sum) {
  asm("sdot %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(x), "w"(w));
  return sum;
}
#else
// The sums of neighbouring products of 16-bit values, one for each lane.
inline int32x4_t pair_products(int16x8_t x, int16x8_t w) {
  return vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(w)), vmull_high_s16(x, w));
}
// x holds unsigned bytes, w signed ones.
constexpr bool kPairsIn16Bits = false, kSignedRows = false;
inline Lanes dot_int8(Lanes x, Lanes w, Lanes sum) {
  const uint16x8_t unsigned_x = vreinterpretq_u16_u32(x);
  const int16x8_t signed_w = vreinterpretq_s16_u32(w);
  const int16x8_t even_x = vreinterpretq_s16_u16(vandq_u16(unsigned_x, vdupq_n_u16(0xff)));
  const int16x8_t odd_x = vreinterpretq_s16_u16(vshrq_n_u16(unsigned_x, 8));
  const int16x8_t even_w = vshrq_n_s16(vshlq_n_s16(signed_w, 8), 8), odd_w = vshrq_n_s16(signed_w, 8);
  const int32x4_t products = vaddq_s32(pair_products(even_x, even_w), pair_products(odd_x, odd_w));
  return vaddq_u32(sum, vreinterpretq_u32_s32(products));
}
#endif

// bf16, rounded to nearest even, in the upper half of each lane.
inline Lanes round_bf16(Vec v) {
  const Lanes bits = as_lanes(v), odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  return vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
}
// Lane i holds low[i] in its lower half and high[i] in its upper one.
inline Lanes pair_bf16(Vec low, Vec high) { return vsriq_n_u32(round_bf16(high), round_bf16(low), 16); }
inline Vec load(const Bf16* p) { return as_vec(vshll_n_u16(vld1_u16(p), 16)); }
inline Vec load_first(const Bf16* p, int64_t count) {
  Bf16 values[4] = {};
  for (int64_t i = 0; i < count; ++i) values[i] = p[i];
  return load(values);
}
inline void store(Bf16* p, Vec v) { vst1_u16(p, vshrn_n_u32(round_bf16(v), 16)); }
inline void store_first(Bf16* p, Vec v, int64_t count) {
  Bf16 values[4];
  store(values, v);
  for (int64_t i = 0; i < count; ++i) p[i] = values[i];
}
// Rounded to integers and clamped to 0..255.
inline void store_bytes(uint8_t* p, Vec v, int64_t count) {
  const uint16x4_t words = vqmovun_s32(vcvtnq_s32_f32(v));
  uint8_t values[8];
  vst1_u8(values, vqmovn_u16(vcombine_u16(words, words)));
  for (int64_t i = 0; i < std::min(count, kWidth); ++i) p[i] = values[i];
}

// out[l][i] = rows[i][l] for 4 rows and 4 lanes.
inline void transpose(Lane* out, int64_t out_stride, const Lane* const* rows) {
  const uint32x4x2_t low = vtrnq_u32(vld1q_u32(rows[0]), vld1q_u32(rows[1]));
  const uint32x4x2_t high = vtrnq_u32(vld1q_u32(rows[2]), vld1q_u32(rows[3]));
  for (int c = 0; c < 2; ++c) {
    vst1q_u32(out + c * out_stride, vcombine_u32(vget_low_u32(low.val[c]), vget_low_u32(high.val[c])));
    vst1q_u32(out + (2 + c) * out_stride,
              vcombine_u32(vget_high_u32(low.val[c]), vget_high_u32(high.val[c])));
  }
}

constexpr int64_t kAheadLanes = 0;  // it fetches nothing ahead
constexpr bool kFillsTiles = false;
constexpr bool has_whole_tile(Precision) { return false; }
template <Precision kPrecision>
void whole_tile(Lane* sums, const Lane* x, int64_t x_stride, const Lane* panel, int64_t depth, const Lane*);
