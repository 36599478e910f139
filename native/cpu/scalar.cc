// The spine of plain C++.
#include "cpu/spine.h"

// One lane gains nothing from -O3, which vectorises every loop around it: the same speed from eight times the
// code.
#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__)
#pragma GCC optimize("O2")
#endif

namespace albert::cpu::scalar {
namespace {

#include "cpu/simd/scalar.h"

#include "cpu/kernels/all.inl"

}  // namespace
}  // namespace albert::cpu::scalar

namespace albert::cpu {
static constexpr Kernels kTable = scalar::make_table("scalar");
const Kernels* const kScalar = &kTable;
}  // namespace albert::cpu
