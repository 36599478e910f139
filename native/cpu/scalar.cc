// The plain C++ spine: compiles the kernels for this instruction set and fills its table.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "cpu/kernels.h"
#include "support/rng.h"

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
