// The spine of NEON with dot products of bytes: int8 products in one instruction (Neoverse N1, Apple M1 and
// newer).
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

// The region gives vector code to the functions between its ends alone: the shared inline functions of the
// standard headers above stay runnable on every machine.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif

namespace albert::cpu::neon_dotprod {
namespace {

#define ALBERT_NEON_DOTPROD
#include "cpu/simd/neon.h"

#include "cpu/kernels/all.inl"

}  // namespace
}  // namespace albert::cpu::neon_dotprod

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace albert::cpu {

static constexpr Kernels kTable = neon_dotprod::make_table("neon_dotprod");
const Kernels* const kNeonDotprod = &kTable;

}  // namespace albert::cpu

#else

namespace albert::cpu {
const Kernels* const kNeonDotprod = nullptr;
}  // namespace albert::cpu

#endif
