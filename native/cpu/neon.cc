// The NEON spine without extensions (every 64-bit Arm).
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "cpu/kernels.h"
#include "support/rng.h"

#if defined(__aarch64__)
#include <arm_neon.h>

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

namespace albert::cpu {
const Kernels* const kNeon = nullptr;
}  // namespace albert::cpu

#endif
