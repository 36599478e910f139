// The plain C++ spine: compiles the kernels for this instruction set and fills its table.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "cpu/kernels.h"

namespace albert::cpu::scalar {
namespace {

#include "cpu/simd/scalar.h"

#include "cpu/kernels/activation.inl"
#include "cpu/kernels/gemm.inl"
#include "cpu/kernels/layernorm.inl"
#include "cpu/kernels/embedding.inl"
#include "cpu/kernels/attention.inl"

}  // namespace
}  // namespace albert::cpu::scalar

namespace albert::cpu {

static const Kernels kTable = {
    "scalar",          scalar::kWidth,      scalar::kTileVectors* scalar::kWidth,
    scalar::kTileRows, scalar::kQueryBlock, scalar::linear,
    scalar::layernorm, scalar::embedding,   scalar::attention,
};
const Kernels* const kScalar = &kTable;

}  // namespace albert::cpu
