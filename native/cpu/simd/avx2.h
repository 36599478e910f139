// Register functions of AVX2 with FMA: 8 lanes, 16 registers. Included inside a spine's target region;
// ALBERT_AVX_VNNI says that its processors have dot products of bytes.

using Vec = __m256;     // 8 fp32 values
using Lanes = __m256i;  // 8 lanes of a product's operands, or of its sums
constexpr int64_t kWidth = 8;
// 6 x 2 sums, 2 weights and 1 broadcast: 15 of 16 registers.
constexpr int kTileRows = 6, kTileVectors = 2;

inline __m256i first(int64_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

inline Vec load(const float* p) { return _mm256_loadu_ps(p); }
inline void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
inline Vec load_first(const float* p, int64_t count) { return _mm256_maskload_ps(p, first(count)); }
inline void store_first(float* p, Vec v, int64_t count) { _mm256_maskstore_ps(p, first(count), v); }
inline Vec broadcast(float x) { return _mm256_set1_ps(x); }
inline Vec zero() { return _mm256_setzero_ps(); }
inline Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
inline Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
inline Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
inline Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
inline Vec sqrt(Vec v) { return _mm256_sqrt_ps(v); }
inline Vec abs(Vec v) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v); }
inline Vec approximate_reciprocal(Vec v) { return _mm256_rcp_ps(v); }
// v - floor(v), and v * 2^floor(n) for n in [-126, 127]: the power is built in the exponent bits.
inline Vec fraction(Vec v) { return sub(v, _mm256_floor_ps(v)); }
inline Vec scale(Vec v, Vec n) {
  const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(_mm256_floor_ps(n)), _mm256_set1_epi32(127));
  return _mm256_mul_ps(v, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
}
constexpr bool kScaleSaturates = false;
constexpr bool kLooksUp = false;  // so that nothing calls look_up()
template <typename T>
Vec look_up(const T* table, Vec i);
// a where x < 0, else b
inline Vec where_negative(Vec x, Vec a, Vec b) {
  return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ));
}
// The outcome of `op` over all lanes.
template <typename Op>
inline float reduce(Vec v, const Op& op) {
  const __m128 four = op(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 two = op(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(op(two, _mm_shuffle_ps(two, two, 1)));
}
inline float reduce_add(Vec v) {
  return reduce(v, [](__m128 a, __m128 b) { return _mm_add_ps(a, b); });
}
inline float reduce_min(Vec v) {
  return reduce(v, [](__m128 a, __m128 b) { return _mm_min_ps(a, b); });
}
inline float reduce_max(Vec v) {
  return reduce(v, [](__m128 a, __m128 b) { return _mm_max_ps(a, b); });
}

inline Lanes load_lanes(const Lane* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
inline void store_lanes(Lane* p, Lanes v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
inline Lanes zero_lanes() { return _mm256_setzero_si256(); }
inline Lanes broadcast_lane(const Lane* p) {
  int lane;
  std::memcpy(&lane, p, sizeof lane);
  return _mm256_set1_epi32(lane);
}
inline Vec as_vec(Lanes v) { return _mm256_castsi256_ps(v); }
inline Lanes as_lanes(Vec v) { return _mm256_castps_si256(v); }
inline Vec to_float(Lanes integers) { return _mm256_cvtepi32_ps(integers); }

// x meets the lower value of each lane of w (kPart 0), or the upper one (1).
constexpr int kBf16RowLanes = 2;
template <int kPart>
inline Lanes dot_bf16(Lanes x, Lanes w, Lanes sum) {
  const Lanes value = kPart == 0 ? _mm256_slli_epi32(w, 16)
                                 : _mm256_and_si256(w, _mm256_set1_epi32(static_cast<int>(0xffff0000u)));
  return as_lanes(fma(as_vec(x), as_vec(value), as_vec(sum)));
}

// x holds unsigned bytes, w signed ones.
constexpr bool kSignedRows = false;
#if defined(ALBERT_AVX_VNNI)
constexpr bool kPairsIn16Bits = false;
inline Lanes dot_int8(Lanes x, Lanes w, Lanes sum) { return _mm256_dpbusd_avx_epi32(sum, x, w); }
#else
// Sums of two products pass through 16 bits.
constexpr bool kPairsIn16Bits = true;
inline Lanes dot_int8(Lanes x, Lanes w, Lanes sum) {
  return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(x, w), _mm256_set1_epi16(1)));
}
#endif

// bf16, rounded to nearest even, in the upper half of each lane.
inline Lanes round_bf16(Vec v) {
  const Lanes bits = as_lanes(v);
  const Lanes odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  return _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
}
// Lane i holds low[i] in its lower half and high[i] in its upper one.
inline Lanes pair_bf16(Vec low, Vec high) {
  return _mm256_blend_epi16(_mm256_srli_epi32(round_bf16(low), 16), round_bf16(high), 0xaa);
}
// The low 16 bits of each lane, saturated from 32.
inline __m128i narrow(Lanes v) {
  return _mm_packus_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}
inline Vec load(const Bf16* p) {
  const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return as_vec(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16));
}
inline Vec load_first(const Bf16* p, int64_t count) {
  Bf16 values[8] = {};
  std::memcpy(values, p, static_cast<size_t>(count) * sizeof(Bf16));
  return load(values);
}
inline void store(Bf16* p, Vec v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow(_mm256_srli_epi32(round_bf16(v), 16)));
}
inline void store_first(Bf16* p, Vec v, int64_t count) {
  Bf16 values[8];
  store(values, v);
  std::memcpy(p, values, static_cast<size_t>(count) * sizeof(Bf16));
}
// Rounded to integers and clamped to 0..255.
inline void store_bytes(uint8_t* p, Vec v, int64_t count) {
  const __m128i words = narrow(_mm256_cvtps_epi32(v)), bytes = _mm_packus_epi16(words, words);
  uint8_t values[16];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(values), bytes);
  std::memcpy(p, values, static_cast<size_t>(std::min(count, kWidth)));
}

// out[l][i] = rows[i][l] for 8 rows and 8 lanes.
inline void transpose(Lane* out, int64_t out_stride, const Lane* const* rows) {
  __m256 a[8], b[8];
  for (int i = 0; i < 8; ++i) a[i] = as_vec(load_lanes(rows[i]));
  for (int i = 0; i < 4; ++i) {
    b[2 * i] = _mm256_unpacklo_ps(a[2 * i], a[2 * i + 1]);
    b[2 * i + 1] = _mm256_unpackhi_ps(a[2 * i], a[2 * i + 1]);
  }
  for (int i = 0; i < 2; ++i) {
    for (int h = 0; h < 2; ++h) {
      a[4 * i + 2 * h] = _mm256_shuffle_ps(b[4 * i + h], b[4 * i + 2 + h], 0x44);
      a[4 * i + 2 * h + 1] = _mm256_shuffle_ps(b[4 * i + h], b[4 * i + 2 + h], 0xee);
    }
  }
  for (int c = 0; c < 4; ++c) {
    store_lanes(out + c * out_stride, as_lanes(_mm256_permute2f128_ps(a[c], a[4 + c], 0x20)));
    store_lanes(out + (4 + c) * out_stride, as_lanes(_mm256_permute2f128_ps(a[c], a[4 + c], 0x31)));
  }
}
