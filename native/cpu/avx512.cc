// The AVX-512 spine: compiles the kernels for this instruction set and fills its table.
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
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif

// GCC 12 warns of the deliberately undefined registers inside its own AVX-512 intrinsics.
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace albert::cpu::avx512 {
namespace {

#include "cpu/simd/avx512.h"
#include "cpu/simd/avx512_tile.h"

#include "cpu/kernels/all.inl"

}  // namespace
}  // namespace albert::cpu::avx512

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace albert::cpu {

static constexpr Kernels kTable = avx512::make_table("avx512_base");
const Kernels* const kAvx512 = &kTable;

}  // namespace albert::cpu

#else

namespace albert::cpu {
const Kernels* const kAvx512 = nullptr;
}  // namespace albert::cpu

#endif
