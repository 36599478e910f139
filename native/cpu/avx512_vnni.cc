// The spine of AVX-512 with VNNI: int8 products in one instruction (Cascade Lake, Ice Lake and newer).
#include "cpu/spine.h"

#if defined(__x86_64__)

ALBERT_BEGIN_TARGET("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")
namespace albert::cpu::avx512_vnni {
namespace {

#define ALBERT_AVX512_VNNI
#include "cpu/simd/avx512.h"
#include "cpu/simd/avx512_tile.h"

#include "cpu/kernels/all.inl"

}  // namespace
}  // namespace albert::cpu::avx512_vnni
ALBERT_END_TARGET

namespace albert::cpu {
static constexpr Kernels kTable = avx512_vnni::make_table("avx512_vnni");
const Kernels* const kAvx512Vnni = &kTable;
}  // namespace albert::cpu

#else
const albert::cpu::Kernels* const albert::cpu::kAvx512Vnni = nullptr;
#endif
