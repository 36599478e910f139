// Register functions of AVX-512 (F, BW, DQ, VL): 16 fp32 lanes, 32 registers. Included inside a spine's
// target region.

using Vec = __m512;
constexpr int64_t kWidth = 16;
constexpr int kTileRows = 8;  // 8 x 3 accumulators: 24 of 32 registers
constexpr int kTileVectors = 3;

inline __mmask16 first(int64_t count) { return static_cast<__mmask16>((1u << count) - 1); }

inline Vec load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
inline Vec load_first(const float* p, int64_t count) { return _mm512_maskz_loadu_ps(first(count), p); }
inline void store_first(float* p, Vec v, int64_t count) { _mm512_mask_storeu_ps(p, first(count), v); }
inline Vec broadcast(float x) { return _mm512_set1_ps(x); }
inline Vec zero() { return _mm512_setzero_ps(); }
inline Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
inline Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
inline Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
inline Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
inline Vec floor(Vec v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
inline Vec abs(Vec v) { return _mm512_abs_ps(v); }
// v * 2^n for integral n in [-126, 127]
inline Vec scale(Vec v, Vec n) { return _mm512_scalef_ps(v, n); }
// a where x < 0, else b
inline Vec where_negative(Vec x, Vec a, Vec b) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ), b, a);
}
inline float reduce_add(Vec v) { return _mm512_reduce_add_ps(v); }

// out[l][i] = rows[i][l] for 16 rows and 16 lanes.
inline void transpose(float* out, int64_t out_stride, const float* const* rows) {
  __m512 a[16], b[16];
  for (int i = 0; i < 16; ++i) a[i] = _mm512_loadu_ps(rows[i]);
  for (int i = 0; i < 8; ++i) {
    b[2 * i] = _mm512_unpacklo_ps(a[2 * i], a[2 * i + 1]);
    b[2 * i + 1] = _mm512_unpackhi_ps(a[2 * i], a[2 * i + 1]);
  }
  for (int i = 0; i < 4; ++i) {
    for (int h = 0; h < 2; ++h) {
      const __m512d low = _mm512_castps_pd(b[4 * i + h]), high = _mm512_castps_pd(b[4 * i + 2 + h]);
      a[4 * i + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
      a[4 * i + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
    }
  }
  // a[4 i + c] now holds column c of each 4-lane group of rows 4 i .. 4 i + 3.
  for (int c = 0; c < 4; ++c) {
    const __m512 low02 = _mm512_shuffle_f32x4(a[c], a[4 + c], 0x88),
                 low13 = _mm512_shuffle_f32x4(a[c], a[4 + c], 0xdd);
    const __m512 high02 = _mm512_shuffle_f32x4(a[8 + c], a[12 + c], 0x88);
    const __m512 high13 = _mm512_shuffle_f32x4(a[8 + c], a[12 + c], 0xdd);
    _mm512_storeu_ps(out + c * out_stride, _mm512_shuffle_f32x4(low02, high02, 0x88));
    _mm512_storeu_ps(out + (4 + c) * out_stride, _mm512_shuffle_f32x4(low13, high13, 0x88));
    _mm512_storeu_ps(out + (8 + c) * out_stride, _mm512_shuffle_f32x4(low02, high02, 0xdd));
    _mm512_storeu_ps(out + (12 + c) * out_stride, _mm512_shuffle_f32x4(low13, high13, 0xdd));
  }
}
