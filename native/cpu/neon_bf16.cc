// The spine of NEON with dot products of bytes and of bf16: int8 and bf16 products in one instruction
// (Neoverse V1 and N2, Apple M2 and newer).
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
#pragma clang attribute push(__attribute__((target("dotprod,bf16"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("arch=armv8.2-a+dotprod+bf16")
#endif

namespace albert::cpu::neon_bf16 {
namespace {

#define ALBERT_NEON_DOTPROD
#define ALBERT_NEON_BF16
#include "cpu/simd/neon.h"

#include "cpu/kernels/all.inl"

}  // namespace
}  // namespace albert::cpu::neon_bf16

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace albert::cpu {

static constexpr Kernels kTable = neon_bf16::make_table("neon_bf16");
const Kernels* const kNeonBf16 = &kTable;

}  // namespace albert::cpu

#else

namespace albert::cpu {
const Kernels* const kNeonBf16 = nullptr;
}  // namespace albert::cpu

#endif
