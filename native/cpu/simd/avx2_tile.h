// The whole register tile of AVX2 as one block of assembly: 6 rows x 16 fp32 columns over the whole depth.

// One row's broadcast value times two weight vectors.
#define ALBERT_ROW(ADDRESS, X, S0, S1)          \
  "vbroadcastss " ADDRESS ", %%ymm" #X          \
  "\n\t"                                        \
  "vfmadd231ps %%ymm12, %%ymm" #X ", %%ymm" #S0 \
  "\n\t"                                        \
  "vfmadd231ps %%ymm13, %%ymm" #X ", %%ymm" #S1 "\n\t"
// One lane of depth: X bytes into the rows, W0 and W1 bytes into the panel. Rows 0 to 5 stand at x, x + s,
// x + 2 s, x3, x3 + s and x3 + 2 s, where s is their stride and x3 = x + 3 s.
#define ALBERT_STEP(X, W0, W1)                                                         \
  "vmovups " W0                                                                        \
  "(%[w]), %%ymm12\n\t"                                                                \
  "vmovups " W1 "(%[w]), %%ymm13\n\t" ALBERT_ROW(X "(%[x])", 14, 0, 1)                 \
      ALBERT_ROW(X "(%[x], %[s])", 15, 2, 3) ALBERT_ROW(X "(%[x], %[s], 2)", 14, 4, 5) \
          ALBERT_ROW(X "(%[x3])", 15, 6, 7) ALBERT_ROW(X "(%[x3], %[s])", 14, 8, 9)    \
              ALBERT_ROW(X "(%[x3], %[s], 2)", 15, 10, 11)
#define ALBERT_ZERO(I) "vxorps %%ymm" #I ", %%ymm" #I ", %%ymm" #I "\n\t"
#define ALBERT_STORE(I) "vmovups %%ymm" #I ", " #I "*32(%[sums])\n\t"
#define ALBERT_ALL(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11)

// Lanes that the tile fetches into L2 for every four of its depth.
constexpr int64_t kAheadLanes = 16;
constexpr bool has_whole_tile(Precision precision) { return precision == Precision::kFp32; }

// sums[r][column] = sum over the depth of x[r][l] * panel[l][column] for 6 rows and 16 columns. Meanwhile
// depth / 4 * kAheadLanes lanes from `ahead` on come into L2.
template <Precision>
inline void whole_tile(Lane* sums, const Lane* x, int64_t x_stride, const Lane* panel, int64_t depth,
                       const Lane* ahead) {
  const int64_t stride = x_stride * static_cast<int64_t>(sizeof(Lane));
  const Lane* x3 = x + 3 * x_stride;
  int64_t fours = depth / 4, ones = depth % 4;
  asm volatile(ALBERT_ALL(ALBERT_ZERO)
               "test %[fours], %[fours]\n\t"
               "jz 2f\n\t"
               ".p2align 5\n"
               "1:\n\t"
               ALBERT_STEP("0", "0", "32")
               ALBERT_STEP("4", "64", "96")
               ALBERT_STEP("8", "128", "160")
               "prefetcht1 (%[ahead])\n\t"
               ALBERT_STEP("12", "192", "224")
               "add $64, %[ahead]\n\t"
               "add $16, %[x]\n\t"
               "add $16, %[x3]\n\t"
               "add $256, %[w]\n\t"
               "dec %[fours]\n\t"
               "jnz 1b\n"
               "2:\n\t"
               "test %[ones], %[ones]\n\t"
               "jz 4f\n"
               "3:\n\t"
               ALBERT_STEP("0", "0", "32")
               "add $4, %[x]\n\t"
               "add $4, %[x3]\n\t"
               "add $64, %[w]\n\t"
               "dec %[ones]\n\t"
               "jnz 3b\n"
               "4:\n\t"
               ALBERT_ALL(ALBERT_STORE)
               : [x] "+r"(x), [x3] "+r"(x3), [w] "+r"(panel), [ahead] "+r"(ahead), [fours] "+r"(fours), [ones] "+r"(ones)
               : [s] "r"(stride), [sums] "r"(sums)
               : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                 "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

#undef ALBERT_ROW
#undef ALBERT_STEP
#undef ALBERT_ZERO
#undef ALBERT_STORE
#undef ALBERT_ALL
