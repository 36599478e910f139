// The spine of AVX2 with FMA.
#include "cpu/spine.h"

#if defined(__x86_64__)

ALBERT_BEGIN_TARGET("avx2,fma")
namespace albert::cpu::avx2 {
namespace {

#include "cpu/simd/avx2.h"
#include "cpu/simd/avx2_tile.h"

#include "cpu/kernels/all.inl"

}  // namespace
}  // namespace albert::cpu::avx2
ALBERT_END_TARGET

namespace albert::cpu {
static constexpr Kernels kTable = avx2::make_table("avx2");
const Kernels* const kAvx2 = &kTable;
}  // namespace albert::cpu

#else
const albert::cpu::Kernels* const albert::cpu::kAvx2 = nullptr;
#endif
