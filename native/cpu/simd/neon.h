// Register functions of 64-bit Arm NEON: 4 fp32 lanes, 32 registers.

using Vec = float32x4_t;
constexpr int64_t kWidth = 4;
constexpr int kTileRows = 8;  // 8 x 3 accumulators: 24 of 32 registers
constexpr int kTileVectors = 3;

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
inline Vec floor(Vec v) { return vrndmq_f32(v); }
inline Vec abs(Vec v) { return vabsq_f32(v); }
// v * 2^n for integral n in [-126, 127]: the power is built in the exponent bits.
inline Vec scale(Vec v, Vec n) {
  const int32x4_t exponent = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
  return vmulq_f32(v, vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23)));
}
// a where x < 0, else b
inline Vec where_negative(Vec x, Vec a, Vec b) { return vbslq_f32(vcltzq_f32(x), a, b); }
inline float reduce_add(Vec v) { return vaddvq_f32(v); }

// out[l][i] = rows[i][l] for 4 rows and 4 lanes.
inline void transpose(float* out, int64_t out_stride, const float* const* rows) {
  const float32x4x2_t low = vtrnq_f32(vld1q_f32(rows[0]), vld1q_f32(rows[1]));
  const float32x4x2_t high = vtrnq_f32(vld1q_f32(rows[2]), vld1q_f32(rows[3]));
  for (int c = 0; c < 2; ++c) {
    vst1q_f32(out + c * out_stride, vcombine_f32(vget_low_f32(low.val[c]), vget_low_f32(high.val[c])));
    vst1q_f32(out + (2 + c) * out_stride,
              vcombine_f32(vget_high_f32(low.val[c]), vget_high_f32(high.val[c])));
  }
}
