// The loops behind the machine's peak. They are inline assembly where instructions are known, because
// compilers spill accumulators around them and then measure memory.
#include "cpu/peak.h"

#include "cpu/processor.h"

namespace albert::cpu {
namespace {

// Independent accumulators: latency times throughput of every known unit is at most 10.
#define ALBERT_TIMES_12(step)                                                                         \
  step("0") step("1") step("2") step("3") step("4") step("5") step("6") step("7") step("8") step("9") \
      step("10") step("11")
#define ALBERT_TIMES_24(step)                                                                        \
  ALBERT_TIMES_12(step)                                                                              \
  step("12") step("13") step("14") step("15") step("16") step("17") step("18") step("19") step("20") \
      step("21") step("22") step("23")

// Operands are ones, not zeros: a unit that adds nothing draws less power and may clock higher. Accumulators
// start as they are found; no unit here is slower for any value.
#if defined(__x86_64__)

// Bytes, bf16 pairs and floats that are one.
constexpr uint32_t kByteOnes = 0x01010101, kWordOnes = 0x00010001, kPairOnes = 0x3f803f80,
                   kFloatOne = 0x3f800000;

#define ALBERT_CLOBBER_16                                                                                    \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
      "xmm13", "xmm14", "xmm15", "cc"
#define ALBERT_CLOBBER_32 \
  ALBERT_CLOBBER_16, "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm30", "xmm31"

#define ALBERT_AVX512_LOOP(name, features, one, step)                \
  __attribute__((target(features))) void name(int64_t rounds) {      \
    asm volatile(                                                    \
        "vpbroadcastd %1, %%zmm30\n\tvmovdqa64 %%zmm30, %%zmm31\n\t" \
        "1:\n\t" ALBERT_TIMES_24(step) "dec %0\n\tjnz 1b\n\t"        \
        : "+r"(rounds)                                               \
        : "m"(one)                                                   \
        : ALBERT_CLOBBER_32);                                        \
  }
#define ALBERT_ZMM_FMA(n) "vfmadd231ps %%zmm30, %%zmm31, %%zmm" n "\n\t"
#define ALBERT_ZMM_BF16(n) "vdpbf16ps %%zmm30, %%zmm31, %%zmm" n "\n\t"
#define ALBERT_ZMM_INT8(n) "vpdpbusd %%zmm30, %%zmm31, %%zmm" n "\n\t"
ALBERT_AVX512_LOOP(avx512_fp32, "avx512f", kFloatOne, ALBERT_ZMM_FMA)
ALBERT_AVX512_LOOP(avx512_bf16, "avx512f,avx512bf16", kPairOnes, ALBERT_ZMM_BF16)
ALBERT_AVX512_LOOP(avx512_int8, "avx512f,avx512vnni", kByteOnes, ALBERT_ZMM_INT8)

#define ALBERT_AVX2_LOOP(name, one, step)                                                      \
  __attribute__((target("avx2,fma"))) void name(int64_t rounds) {                              \
    asm volatile(                                                                              \
        "vpbroadcastd %1, %%ymm13\n\tvmovdqa %%ymm13, %%ymm14\n\tvpbroadcastd %2, %%ymm15\n\t" \
        "1:\n\t" ALBERT_TIMES_12(step) "dec %0\n\tjnz 1b\n\t"                                  \
        : "+r"(rounds)                                                                         \
        : "m"(one), "m"(kWordOnes)                                                             \
        : ALBERT_CLOBBER_16);                                                                  \
  }
#define ALBERT_YMM_FMA(n) "vfmadd231ps %%ymm13, %%ymm14, %%ymm" n "\n\t"
// Without a dot product of bytes, products are summed in pairs and pairs in quads.
#define ALBERT_YMM_INT8(n)                   \
  "vpmaddubsw %%ymm13, %%ymm14, %%ymm12\n\t" \
  "vpmaddwd %%ymm12, %%ymm15, %%ymm12\n\t"   \
  "vpaddd %%ymm12, %%ymm" n ", %%ymm" n "\n\t"
ALBERT_AVX2_LOOP(avx2_fp32, kFloatOne, ALBERT_YMM_FMA)
ALBERT_AVX2_LOOP(avx2_int8, kByteOnes, ALBERT_YMM_INT8)
#if defined(ALBERT_COMPILES_AVX_VNNI)
#define ALBERT_YMM_VNNI(n) "%{vex%} vpdpbusd %%ymm13, %%ymm14, %%ymm" n "\n\t"
ALBERT_AVX2_LOOP(avx_vnni_int8, kByteOnes, ALBERT_YMM_VNNI)
#endif

#elif defined(__aarch64__)

#define ALBERT_NEON_FMA(n) "fmla v" n ".4s, v30.4s, v31.4s\n\t"
void neon_fp32(int64_t rounds) {
  asm volatile(
      "fmov v30.4s, #1.0\n\tfmov v31.4s, #1.0\n\t"
      "1:\n\t" ALBERT_TIMES_24(ALBERT_NEON_FMA) "subs %0, %0, #1\n\tb.ne 1b\n\t"
      : "+r"(rounds)
      :
      : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15",
        "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v30", "v31", "cc");
}

#endif

// What a compiler makes of plain C++ where no instruction set above is there.
constexpr int kPlainLanes = 32;
void plain_fp32(int64_t rounds) {
  volatile float source = 0.999f;
  const float factor = source;
  float sums[kPlainLanes] = {};
  for (int64_t round = 0; round < rounds; ++round)
    for (float& sum : sums) sum = sum * factor + 1.0f;
  for (float sum : sums) source = sum;
}

}  // namespace

PeakLoops peak_loops([[maybe_unused]] bool with_avx512) {
  PeakLoops loops;
  loops.fp32 = {plain_fp32, 2.0 * kPlainLanes};
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    loops.fp32 = {avx2_fp32, 12 * 16};
    loops.int8 = {avx2_int8, 12 * 64};
#if defined(ALBERT_COMPILES_AVX_VNNI)
    if (has_avx_vnni()) loops.int8 = {avx_vnni_int8, 12 * 64};
#endif
  }
  if (!with_avx512) return loops;
  if (__builtin_cpu_supports("avx512f")) loops.fp32 = {avx512_fp32, 24 * 32};
  if (__builtin_cpu_supports("avx512bf16")) loops.bf16 = {avx512_bf16, 24 * 64};
  if (__builtin_cpu_supports("avx512vnni")) loops.int8 = {avx512_int8, 24 * 128};
#elif defined(__aarch64__)
  loops.fp32 = {neon_fp32, 24 * 8};
#endif
  return loops;
}

}  // namespace albert::cpu
