// The spine of AVX2 with VNNI: int8 products in one instruction (processors without AVX-512 from Alder Lake
// on).
#include "cpu/spine.h"

#if defined(ALBERT_COMPILES_AVX_VNNI)

ALBERT_BEGIN_TARGET("avx2,fma,avxvnni")
namespace albert::cpu::avx_vnni {
namespace {

#define ALBERT_AVX_VNNI
#include "cpu/simd/avx2.h"
#include "cpu/simd/avx2_tile.h"

#include "cpu/kernels/all.inl"

}  // namespace
}  // namespace albert::cpu::avx_vnni
ALBERT_END_TARGET

namespace albert::cpu {
static constexpr Kernels kTable = avx_vnni::make_table("avx_vnni");
const Kernels* const kAvxVnni = &kTable;
}  // namespace albert::cpu

#else
const albert::cpu::Kernels* const albert::cpu::kAvxVnni = nullptr;
#endif
