// The spine of AVX2 with VNNI: int8 products in one instruction (processors without AVX-512 from Alder Lake
// on).
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "cpu/kernels.h"
#include "cpu/processor.h"
#include "support/rng.h"

#if defined(ALBERT_COMPILES_AVX_VNNI)
#include <immintrin.h>

// The region gives vector code to the functions between its ends alone: the shared inline functions of the
// standard headers above stay runnable on every machine.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,avxvnni"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,avxvnni")
#endif

namespace albert::cpu::avx_vnni {
namespace {

#define ALBERT_AVX_VNNI
#include "cpu/simd/avx2.h"
#include "cpu/simd/avx2_tile.h"

#include "cpu/kernels/all.inl"

}  // namespace
}  // namespace albert::cpu::avx_vnni

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace albert::cpu {

static constexpr Kernels kTable = avx_vnni::make_table("avx_vnni");
const Kernels* const kAvxVnni = &kTable;

}  // namespace albert::cpu

#else

namespace albert::cpu {
const Kernels* const kAvxVnni = nullptr;
}  // namespace albert::cpu

#endif
