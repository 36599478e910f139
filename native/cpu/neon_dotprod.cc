// The spine of NEON with dot products of bytes: int8 products in one instruction (Neoverse N1, Apple M1 and
// newer).
#include "cpu/spine.h"

#if defined(__aarch64__)

#if defined(__clang__)
ALBERT_BEGIN_TARGET("dotprod")
#else
ALBERT_BEGIN_TARGET("arch=armv8.2-a+dotprod")
#endif
namespace albert::cpu::neon_dotprod {
namespace {

#define ALBERT_NEON_DOTPROD
#include "cpu/simd/neon.h"

#include "cpu/kernels/all.inl"

}  // namespace
}  // namespace albert::cpu::neon_dotprod
ALBERT_END_TARGET

namespace albert::cpu {
static constexpr Kernels kTable = neon_dotprod::make_table("neon_dotprod");
const Kernels* const kNeonDotprod = &kTable;
}  // namespace albert::cpu

#else
const albert::cpu::Kernels* const albert::cpu::kNeonDotprod = nullptr;
#endif
