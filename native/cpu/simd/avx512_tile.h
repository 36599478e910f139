// The whole register tile of AVX-512 as one block of assembly: 8 rows x 48 columns over the whole depth.
//
// Compilers keep 24 sums in registers for fp32 but not around vpdpbusd: GCC 12 stored and reloaded every one
// of them each turn, which left 77 to 87 % of the rate this loop has (docs/cpu-kernels.md).

// One row's broadcast lane times three weight vectors.
#define ALBERT_ROW(OP, ADDRESS, X, S0, S1, S2)                                                \
  "vpbroadcastd " ADDRESS ", %%zmm" #X "\n\t" OP " %%zmm24, %%zmm" #X ", %%zmm" #S0 "\n\t" OP \
  " %%zmm25, %%zmm" #X ", %%zmm" #S1 "\n\t" OP " %%zmm26, %%zmm" #X ", %%zmm" #S2 "\n\t"
// One lane of depth: X bytes into the rows, W0..W2 bytes into the panel. Rows 0 to 7 stand at x, x + s,
// x + 2 s, x3, x + 4 s, x3 + 2 s, x + 2 s3 and x3 + 4 s, where s is their stride, s3 = 3 s and x3 = x + s3.
#define ALBERT_STEP(OP, X, W0, W1, W2)                                                                   \
  "vmovups " W0                                                                                          \
  "(%[w]), %%zmm24\n\t"                                                                                  \
  "vmovups " W1                                                                                          \
  "(%[w]), %%zmm25\n\t"                                                                                  \
  "vmovups " W2 "(%[w]), %%zmm26\n\t" ALBERT_ROW(OP, X "(%[x])", 27, 0, 1, 2)                            \
      ALBERT_ROW(OP, X "(%[x], %[s])", 28, 3, 4, 5) ALBERT_ROW(OP, X "(%[x], %[s], 2)", 29, 6, 7, 8)     \
          ALBERT_ROW(OP, X "(%[x3])", 30, 9, 10, 11) ALBERT_ROW(OP, X "(%[x], %[s], 4)", 31, 12, 13, 14) \
              ALBERT_ROW(OP, X "(%[x3], %[s], 2)", 27, 15, 16, 17)                                       \
                  ALBERT_ROW(OP, X "(%[x], %[s3], 2)", 28, 18, 19, 20)                                   \
                      ALBERT_ROW(OP, X "(%[x3], %[s], 4)", 29, 21, 22, 23)
#define ALBERT_ZERO(I) "vpxord %%zmm" #I ", %%zmm" #I ", %%zmm" #I "\n\t"
#define ALBERT_STORE(I) "vmovups %%zmm" #I ", " #I "*64(%[sums])\n\t"
// clang-format off
#define ALBERT_ALL(F)                             \
  F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7)         \
  F(8) F(9) F(10) F(11) F(12) F(13) F(14) F(15)   \
  F(16) F(17) F(18) F(19) F(20) F(21) F(22) F(23)
#define ALBERT_TILE(OP) \
  asm volatile(ALBERT_ALL(ALBERT_ZERO)                                                                       \
               "test %[fours], %[fours]\n\t"                                                                 \
               "jz 2f\n\t"                                                                                   \
               ".p2align 6\n"                                                                                \
               "1:\n\t"                                                                                      \
               ALBERT_STEP(OP, "0", "0", "64", "128")                                                        \
               "prefetcht1 (%[ahead])\n\t"                                                                   \
               ALBERT_STEP(OP, "4", "192", "256", "320")                                                     \
               ALBERT_STEP(OP, "8", "384", "448", "512")                                                     \
               "prefetcht1 64(%[ahead])\n\t"                                                                 \
               ALBERT_STEP(OP, "12", "576", "640", "704")                                                    \
               "add $128, %[ahead]\n\t"                                                                      \
               "add $16, %[x]\n\t"                                                                           \
               "add $16, %[x3]\n\t"                                                                          \
               "add $768, %[w]\n\t"                                                                          \
               "dec %[fours]\n\t"                                                                            \
               "jnz 1b\n"                                                                                    \
               "2:\n\t"                                                                                      \
               "test %[ones], %[ones]\n\t"                                                                   \
               "jz 4f\n"                                                                                     \
               "3:\n\t"                                                                                      \
               ALBERT_STEP(OP, "0", "0", "64", "128")                                                        \
               "add $4, %[x]\n\t"                                                                            \
               "add $4, %[x3]\n\t"                                                                           \
               "add $192, %[w]\n\t"                                                                          \
               "dec %[ones]\n\t"                                                                             \
               "jnz 3b\n"                                                                                    \
               "4:\n\t"                                                                                      \
               ALBERT_ALL(ALBERT_STORE)                                                                      \
               : [x] "+r"(x), [x3] "+r"(x3), [w] "+r"(panel), [ahead] "+r"(ahead),                          \
                 [fours] "+r"(fours), [ones] "+r"(ones)                                                      \
               : [s] "r"(stride), [s3] "r"(stride3), [sums] "r"(sums)                                        \
               : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",     \
                 "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18",    \
                 "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28",   \
                 "xmm29", "xmm30", "xmm31")
// clang-format on

// More than half a tile of rows runs as a whole one, since the compiler's loops lose sums to memory (above).
constexpr bool kFillsTiles = true;
constexpr bool has_whole_tile(Precision precision) {
#if defined(ALBERT_AVX512_BF16)
  if (precision == Precision::kBf16) return true;
#endif
#if defined(ALBERT_AVX512_VNNI)
  if (precision == Precision::kInt8) return true;
#endif
  return precision == Precision::kFp32;
}

// Lanes that the tile fetches into L2 for every four of its depth.
constexpr int64_t kAheadLanes = 32;

// sums[r][column] = sum over the depth of x[r][l] . panel[l][column] for 8 rows and 48 columns. Meanwhile
// depth / 4 * kAheadLanes lanes from `ahead` on come into L2.
template <Precision kPrecision>
inline void whole_tile(Lane* sums, const Lane* x, int64_t x_stride, const Lane* panel, int64_t depth,
                       const Lane* ahead) {
  const int64_t stride = x_stride * static_cast<int64_t>(sizeof(Lane)), stride3 = 3 * stride;
  const Lane* x3 = x + 3 * x_stride;
  int64_t fours = depth / 4, ones = depth % 4;
  if constexpr (kPrecision == Precision::kFp32) ALBERT_TILE("vfmadd231ps");
  if constexpr (kPrecision == Precision::kBf16) ALBERT_TILE("vdpbf16ps");
  if constexpr (kPrecision == Precision::kInt8) ALBERT_TILE("vpdpbusd");
}

#undef ALBERT_ROW
#undef ALBERT_STEP
#undef ALBERT_ZERO
#undef ALBERT_STORE
#undef ALBERT_ALL
#undef ALBERT_TILE
