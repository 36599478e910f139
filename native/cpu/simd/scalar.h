// Register functions of plain C++: one lane, for machines without a known vector unit and as the kernels'
// readable form.

using Vec = float;
constexpr int64_t kWidth = 1;
constexpr int kTileRows = 4;
constexpr int kTileVectors = 4;

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
inline Vec floor(Vec v) { return std::floor(v); }
inline Vec abs(Vec v) { return std::fabs(v); }
inline Vec scale(Vec v, Vec n) { return std::ldexp(v, static_cast<int>(n)); }
inline Vec where_negative(Vec x, Vec a, Vec b) { return x < 0 ? a : b; }
inline float reduce_add(Vec v) { return v; }
inline void transpose(float* out, int64_t, const float* const* rows) { *out = *rows[0]; }
