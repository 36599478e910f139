// The spine of AVX-512 (F, BW, DQ, VL).
#include "cpu/spine.h"

#if defined(__x86_64__)

ALBERT_BEGIN_TARGET("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
namespace albert::cpu::avx512 {
namespace {

#include "cpu/simd/avx512.h"
#include "cpu/simd/avx512_tile.h"

#include "cpu/kernels/all.inl"

}  // namespace
}  // namespace albert::cpu::avx512
ALBERT_END_TARGET

namespace albert::cpu {
static constexpr Kernels kTable = avx512::make_table("avx512_base");
const Kernels* const kAvx512 = &kTable;
}  // namespace albert::cpu

#else
const albert::cpu::Kernels* const albert::cpu::kAvx512 = nullptr;
#endif
