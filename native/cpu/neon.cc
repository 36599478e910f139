// The NEON spine without extensions (every 64-bit Arm).
#include "cpu/spine.h"

#if defined(__aarch64__)

namespace albert::cpu::neon {
namespace {

#include "cpu/simd/neon.h"

#include "cpu/kernels/all.inl"

}  // namespace
}  // namespace albert::cpu::neon

namespace albert::cpu {
static constexpr Kernels kTable = neon::make_table("neon_base");
const Kernels* const kNeon = &kTable;
}  // namespace albert::cpu

#else
const albert::cpu::Kernels* const albert::cpu::kNeon = nullptr;
#endif
