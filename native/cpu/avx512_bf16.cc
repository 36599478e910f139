// The spine of AVX-512 with VNNI and BF16: int8 and bf16 products in one instruction (Zen 4, Sapphire
// Rapids).
#include "cpu/spine.h"

#if defined(__x86_64__)

ALBERT_BEGIN_TARGET("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma")
namespace albert::cpu::avx512_bf16 {
namespace {

#define ALBERT_AVX512_VNNI
#define ALBERT_AVX512_BF16
#include "cpu/simd/avx512.h"
#include "cpu/simd/avx512_tile.h"

#include "cpu/kernels/all.inl"

}  // namespace
}  // namespace albert::cpu::avx512_bf16
ALBERT_END_TARGET

namespace albert::cpu {
static constexpr Kernels kTable = avx512_bf16::make_table("avx512_bf16");
const Kernels* const kAvx512Bf16 = &kTable;
}  // namespace albert::cpu

#else
const albert::cpu::Kernels* const albert::cpu::kAvx512Bf16 = nullptr;
#endif
