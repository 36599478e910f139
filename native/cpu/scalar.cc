// The spine of plain C++.
#include "cpu/spine.h"

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
