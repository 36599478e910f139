// The whole register tile of AVX2 as one block of assembly: 6 rows x 16 columns over the whole depth. Sums
// stand in registers 0 to 11, a row's broadcast lane in 14, and in 15 what a precision needs all the time.

// clang-format off
// One row's broadcast lane times two vectors of the panel, in registers 12 and 13.
#define ALBERT_ROW(OP, ADDRESS, S0, S1)           \
  "vbroadcastss " ADDRESS ", %%ymm14\n\t"         \
  OP " %%ymm12, %%ymm14, %%ymm" #S0 "\n\t"        \
  OP " %%ymm13, %%ymm14, %%ymm" #S1 "\n\t"
#define ALBERT_FLOAT_ROW(ADDRESS, S0, S1, W1) ALBERT_ROW("vfmadd231ps", ADDRESS, S0, S1)
#define ALBERT_BYTE_ROW(ADDRESS, S0, S1, W1) ALBERT_ROW("%{vex%} vpdpbusd", ADDRESS, S0, S1)
// Without VNNI: sums of two products in 16 bits, of four in 32 (register 15 holds ones). There is no register for
// the second vector, which each row reads anew.
#define ALBERT_BYTE_PAIRS_ROW(ADDRESS, S0, S1, W1)  \
  "vpbroadcastd " ADDRESS ", %%ymm14\n\t"           \
  "vpmaddubsw %%ymm12, %%ymm14, %%ymm13\n\t"        \
  "vpmaddubsw " W1 "(%[w]), %%ymm14, %%ymm14\n\t"   \
  "vpmaddwd %%ymm15, %%ymm13, %%ymm13\n\t"          \
  "vpmaddwd %%ymm15, %%ymm14, %%ymm14\n\t"          \
  "vpaddd %%ymm13, %%ymm" #S0 ", %%ymm" #S0 "\n\t"  \
  "vpaddd %%ymm14, %%ymm" #S1 ", %%ymm" #S1 "\n\t"
// The rows stand at x, x + s, x + 2 s, x3, x3 + s and x3 + 2 s, where s is their stride and x3 = x + 3 s.
#define ALBERT_ROWS(ROW, X, W1)                                                                       \
  ROW(X "(%[x])", 0, 1, W1)  ROW(X "(%[x], %[s])", 2, 3, W1)  ROW(X "(%[x], %[s], 2)", 4, 5, W1)      \
  ROW(X "(%[x3])", 6, 7, W1) ROW(X "(%[x3], %[s])", 8, 9, W1) ROW(X "(%[x3], %[s], 2)", 10, 11, W1)

// One lane of the panel: X0 bytes into the rows, W0 and W1 bytes into the panel.
#define ALBERT_STEP(ROW, X0, W0, W1)     \
  "vmovups " W0 "(%[w]), %%ymm12\n\t"    \
  "vmovups " W1 "(%[w]), %%ymm13\n\t"    \
  ALBERT_ROWS(ROW, X0, W1)
#define ALBERT_FP32_STEP(X0, X1, W0, W1) ALBERT_STEP(ALBERT_FLOAT_ROW, X0, W0, W1)
#if defined(ALBERT_AVX_VNNI)
#define ALBERT_INT8_STEP(X0, X1, W0, W1) ALBERT_STEP(ALBERT_BYTE_ROW, X0, W0, W1)
#else
#define ALBERT_INT8_STEP(X0, X1, W0, W1)  \
  "vmovups " W0 "(%[w]), %%ymm12\n\t"     \
  ALBERT_ROWS(ALBERT_BYTE_PAIRS_ROW, X0, W1)
#endif
// bf16: it meets two lanes of each row, at X0 and X1. Register 15 keeps the upper halves.
#define ALBERT_BF16_STEP(X0, X1, W0, W1)        \
  "vmovups " W0 "(%[w]), %%ymm12\n\t"           \
  "vmovups " W1 "(%[w]), %%ymm13\n\t"           \
  "vpslld $16, %%ymm12, %%ymm12\n\t"            \
  "vpslld $16, %%ymm13, %%ymm13\n\t"            \
  ALBERT_ROWS(ALBERT_FLOAT_ROW, X0, W1)         \
  "vandps " W0 "(%[w]), %%ymm15, %%ymm12\n\t"   \
  "vandps " W1 "(%[w]), %%ymm15, %%ymm13\n\t"   \
  ALBERT_ROWS(ALBERT_FLOAT_ROW, X1, W1)

#define ALBERT_ZERO(I) "vxorps %%ymm" #I ", %%ymm" #I ", %%ymm" #I "\n\t"
#define ALBERT_STORE(I) "vmovups %%ymm" #I ", " #I "*32(%[sums])\n\t"
#define ALBERT_ALL(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11)
// LANE: bytes of a row that a lane of the panel meets; its multiples are the assembler's to compute.
#define ALBERT_TILE(STEP, LANE) \
  asm volatile(ALBERT_ALL(ALBERT_ZERO)                                                                       \
               "vpbroadcastd %[constant], %%ymm15\n\t"                                                       \
               "test %[fours], %[fours]\n\t"                                                                 \
               "jz 2f\n\t"                                                                                   \
               ".p2align 5\n"                                                                                \
               "1:\n\t"                                                                                      \
               STEP("0", "4", "0", "32")                                                                     \
               STEP(LANE, LANE "+4", "64", "96")                                                             \
               STEP("2*" LANE, "2*" LANE "+4", "128", "160")                                                 \
               "prefetcht1 (%[ahead])\n\t"                                                                   \
               STEP("3*" LANE, "3*" LANE "+4", "192", "224")                                                 \
               "add $64, %[ahead]\n\t"                                                                       \
               "add $4*" LANE ", %[x]\n\t"                                                                   \
               "add $4*" LANE ", %[x3]\n\t"                                                                  \
               "add $256, %[w]\n\t"                                                                          \
               "dec %[fours]\n\t"                                                                            \
               "jnz 1b\n"                                                                                    \
               "2:\n\t"                                                                                      \
               "test %[ones], %[ones]\n\t"                                                                   \
               "jz 4f\n"                                                                                     \
               "3:\n\t"                                                                                      \
               STEP("0", "4", "0", "32")                                                                     \
               "add $" LANE ", %[x]\n\t"                                                                     \
               "add $" LANE ", %[x3]\n\t"                                                                    \
               "add $64, %[w]\n\t"                                                                           \
               "dec %[ones]\n\t"                                                                             \
               "jnz 3b\n"                                                                                    \
               "4:\n\t"                                                                                      \
               ALBERT_ALL(ALBERT_STORE)                                                                      \
               : [x] "+r"(x), [x3] "+r"(x3), [w] "+r"(panel), [ahead] "+r"(ahead),                           \
                 [fours] "+r"(fours), [ones] "+r"(ones)                                                      \
               : [s] "r"(stride), [sums] "r"(sums), [constant] "m"(constant)                                  \
               : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",     \
                 "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15")
// clang-format on

// Lanes that the tile fetches into L2 for every four of its depth.
constexpr int64_t kAheadLanes = 16;
constexpr bool kFillsTiles = false;
constexpr bool has_whole_tile(Precision) { return true; }

// sums[r][column] = sum over the depth of x[r][l] . panel[l][column] for 6 rows and 16 columns, `depth` lanes
// of the panel. Meanwhile kAheadLanes lanes from `ahead` on come into L2 for every four of them.
template <Precision kPrecision>
inline void whole_tile(Lane* sums, const Lane* x, int64_t x_stride, const Lane* panel, int64_t depth,
                       const Lane* ahead) {
  const int64_t stride = x_stride * static_cast<int64_t>(sizeof(Lane));
  const Lane constant = kPrecision == Precision::kInt8 ? 0x00010001 : 0xffff0000;
  const Lane* x3 = x + 3 * x_stride;
  int64_t fours = depth / 4, ones = depth % 4;
  if constexpr (kPrecision == Precision::kFp32) ALBERT_TILE(ALBERT_FP32_STEP, "4");
  if constexpr (kPrecision == Precision::kBf16) ALBERT_TILE(ALBERT_BF16_STEP, "8");
  if constexpr (kPrecision == Precision::kInt8) ALBERT_TILE(ALBERT_INT8_STEP, "4");
}

#undef ALBERT_ROW
#undef ALBERT_FLOAT_ROW
#undef ALBERT_BYTE_ROW
#undef ALBERT_BYTE_PAIRS_ROW
#undef ALBERT_ROWS
#undef ALBERT_STEP
#undef ALBERT_FP32_STEP
#undef ALBERT_INT8_STEP
#undef ALBERT_BF16_STEP
#undef ALBERT_ZERO
#undef ALBERT_STORE
#undef ALBERT_ALL
#undef ALBERT_TILE
