// Register functions of AVX-512 (F, BW, DQ, VL): 16 lanes, 32 registers. Included inside a spine's target
// region; ALBERT_AVX512_VNNI and ALBERT_AVX512_BF16 say what else the spine's processors have.

using Vec = __m512;     // 16 fp32 values
using Lanes = __m512i;  // 16 lanes of a product's operands, or of its sums
constexpr int64_t kWidth = 16;
// 8 x 3 sums: 24 of 32 registers.
constexpr int kTileRows = 8, kTileVectors = 3;

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
inline Vec sqrt(Vec v) { return _mm512_sqrt_ps(v); }
inline Vec abs(Vec v) { return _mm512_abs_ps(v); }
inline Vec approximate_reciprocal(Vec v) { return _mm512_rcp14_ps(v); }
// v - floor(v), and v * 2^floor(n) for any n.
inline Vec fraction(Vec v) { return _mm512_reduce_ps(v, _MM_FROUND_TO_NEG_INF); }
inline Vec scale(Vec v, Vec n) { return _mm512_scalef_ps(v, n); }
constexpr bool kScaleSaturates = true;
// table[i] for every lane, i its lowest four bits.
constexpr bool kLooksUp = true;
inline Vec look_up(const float* table, Vec i) {
  return _mm512_permutexvar_ps(_mm512_castps_si512(i), _mm512_load_ps(table));
}
// a where x < 0, else b
inline Vec where_negative(Vec x, Vec a, Vec b) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ), b, a);
}
inline float reduce_add(Vec v) { return _mm512_reduce_add_ps(v); }
inline float reduce_min(Vec v) { return _mm512_reduce_min_ps(v); }
inline float reduce_max(Vec v) { return _mm512_reduce_max_ps(v); }

inline Lanes load_lanes(const Lane* p) { return _mm512_loadu_si512(p); }
inline void store_lanes(Lane* p, Lanes v) { _mm512_storeu_si512(p, v); }
inline Lanes zero_lanes() { return _mm512_setzero_si512(); }
inline Lanes broadcast_lane(const Lane* p) {
  int lane;
  std::memcpy(&lane, p, sizeof lane);
  return _mm512_set1_epi32(lane);
}
inline Vec as_vec(Lanes v) { return _mm512_castsi512_ps(v); }
inline Lanes as_lanes(Vec v) { return _mm512_castps_si512(v); }
inline Vec to_float(Lanes integers) { return _mm512_cvtepi32_ps(integers); }

#if defined(ALBERT_AVX512_BF16)
// Two values of x meet two of w.
constexpr int kBf16RowLanes = 1;
template <int>
inline Lanes dot_bf16(Lanes x, Lanes w, Lanes sum) {
  return as_lanes(
      _mm512_dpbf16_ps(as_vec(sum), reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(w)));
}
#else
// x meets the lower value of each lane of w (kPart 0), or the upper one (1).
constexpr int kBf16RowLanes = 2;
template <int kPart>
inline Lanes dot_bf16(Lanes x, Lanes w, Lanes sum) {
  const Lanes value = kPart == 0 ? _mm512_slli_epi32(w, 16)
                                 : _mm512_and_si512(w, _mm512_set1_epi32(static_cast<int>(0xffff0000u)));
  return as_lanes(fma(as_vec(x), as_vec(value), as_vec(sum)));
}
#endif

// x holds unsigned bytes, w signed ones.
constexpr bool kSignedRows = false;
#if defined(ALBERT_AVX512_VNNI)
constexpr bool kPairsIn16Bits = false;
inline Lanes dot_int8(Lanes x, Lanes w, Lanes sum) { return _mm512_dpbusd_epi32(sum, x, w); }
#else
// Sums of two products pass through 16 bits.
constexpr bool kPairsIn16Bits = true;
inline Lanes dot_int8(Lanes x, Lanes w, Lanes sum) {
  return _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_maddubs_epi16(x, w), _mm512_set1_epi16(1)));
}
#endif

#if !defined(ALBERT_AVX512_BF16)
// bf16, rounded to nearest even, in the upper half of each lane.
inline Lanes round_bf16(Vec v) {
  const Lanes bits = as_lanes(v);
  const Lanes odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  return _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
}
#endif

// Lane i holds low[i] in its lower half and high[i] in its upper one.
inline Lanes pair_bf16(Vec low, Vec high) {
#if defined(ALBERT_AVX512_BF16)
  const Lanes order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7,
                                       22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, reinterpret_cast<Lanes>(_mm512_cvtne2ps_pbh(high, low)));
#else
  return _mm512_or_si512(
      _mm512_srli_epi32(round_bf16(low), 16),
      _mm512_and_si512(round_bf16(high), _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
#endif
}
inline __m256i narrow_bf16(Vec v) {
#if defined(ALBERT_AVX512_BF16)
  return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v));
#else
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(round_bf16(v), 16));
#endif
}
inline Vec widen_bf16(__m256i v) { return as_vec(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16)); }
inline Vec load(const Bf16* p) { return widen_bf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
inline Vec load_first(const Bf16* p, int64_t count) {
  return widen_bf16(_mm256_maskz_loadu_epi16(first(count), p));
}
inline void store(Bf16* p, Vec v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow_bf16(v)); }
inline void store_first(Bf16* p, Vec v, int64_t count) {
  _mm256_mask_storeu_epi16(p, first(count), narrow_bf16(v));
}
// The lanes [begin, end) of v, from p on.
inline void store_part(float* p, Vec v, int64_t begin, int64_t end) {
  _mm512_mask_storeu_ps(p - begin, first(end) & ~first(begin), v);
}
inline void store_part(Bf16* p, Vec v, int64_t begin, int64_t end) {
  _mm256_mask_storeu_epi16(p - begin, first(end) & ~first(begin), narrow_bf16(v));
}
// Rounded to integers and clamped to 0..255.
inline void store_bytes(uint8_t* p, Vec v, int64_t count) {
  const Lanes integers = _mm512_max_epi32(_mm512_cvtps_epi32(v), _mm512_setzero_si512());
  const __m128i bytes = _mm512_cvtusepi32_epi8(integers);
  if (count >= kWidth)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
  else
    _mm_mask_storeu_epi8(p, first(count), bytes);
}

// out[l][i] = rows[i][l] for 16 rows and 16 lanes.
inline void transpose(Lane* out, int64_t out_stride, const Lane* const* rows) {
  __m512i a[16], b[16];
  for (int i = 0; i < 16; ++i) a[i] = _mm512_loadu_si512(rows[i]);
  for (int i = 0; i < 8; ++i) {
    b[2 * i] = _mm512_unpacklo_epi32(a[2 * i], a[2 * i + 1]);
    b[2 * i + 1] = _mm512_unpackhi_epi32(a[2 * i], a[2 * i + 1]);
  }
  for (int i = 0; i < 4; ++i) {
    for (int h = 0; h < 2; ++h) {
      a[4 * i + 2 * h] = _mm512_unpacklo_epi64(b[4 * i + h], b[4 * i + 2 + h]);
      a[4 * i + 2 * h + 1] = _mm512_unpackhi_epi64(b[4 * i + h], b[4 * i + 2 + h]);
    }
  }
  // a[4 i + c] now holds column c of each 4-lane group of rows 4 i .. 4 i + 3.
  for (int c = 0; c < 4; ++c) {
    const __m512i low02 = _mm512_shuffle_i32x4(a[c], a[4 + c], 0x88),
                  low13 = _mm512_shuffle_i32x4(a[c], a[4 + c], 0xdd);
    const __m512i high02 = _mm512_shuffle_i32x4(a[8 + c], a[12 + c], 0x88);
    const __m512i high13 = _mm512_shuffle_i32x4(a[8 + c], a[12 + c], 0xdd);
    _mm512_storeu_si512(out + c * out_stride, _mm512_shuffle_i32x4(low02, high02, 0x88));
    _mm512_storeu_si512(out + (4 + c) * out_stride, _mm512_shuffle_i32x4(low13, high13, 0x88));
    _mm512_storeu_si512(out + (8 + c) * out_stride, _mm512_shuffle_i32x4(low02, high02, 0xdd));
    _mm512_storeu_si512(out + (12 + c) * out_stride, _mm512_shuffle_i32x4(low13, high13, 0xdd));
  }
}
