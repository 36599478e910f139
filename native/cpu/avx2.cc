// The AVX2 spine: compiles the kernels for this instruction set and fills its table.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "cpu/kernels.h"
#include "support/rng.h"

#if defined(__x86_64__)
#include <immintrin.h>

// The region gives vector code to the functions between its ends alone: the shared inline functions of the
// standard headers above stay runnable on every machine.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

namespace albert::cpu::avx2 {
namespace {

#include "cpu/simd/avx2.h"
#include "cpu/simd/avx2_tile.h"

#include "cpu/kernels/all.inl"

}  // namespace
}  // namespace albert::cpu::avx2

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace albert::cpu {

static constexpr Kernels kTable = avx2::make_table("avx2");
const Kernels* const kAvx2 = &kTable;

}  // namespace albert::cpu

#else

namespace albert::cpu {
const Kernels* const kAvx2 = nullptr;
}  // namespace albert::cpu

#endif
