// The NEON spine: compiles the kernels for this instruction set and fills its table.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "cpu/kernels.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace albert::cpu::neon {
namespace {

#include "cpu/simd/neon.h"

#include "cpu/kernels/activation.inl"
#include "cpu/kernels/gemm.inl"
#include "cpu/kernels/layernorm.inl"
#include "cpu/kernels/embedding.inl"
#include "cpu/kernels/attention.inl"

}  // namespace
}  // namespace albert::cpu::neon

namespace albert::cpu {

static const Kernels kTable = {
    "neon",          neon::kWidth,      neon::kTileVectors* neon::kWidth,
    neon::kTileRows, neon::kQueryBlock, neon::linear,
    neon::layernorm, neon::embedding,   neon::attention,
};
const Kernels* const kNeon = &kTable;

}  // namespace albert::cpu

#else

namespace albert::cpu {
const Kernels* const kNeon = nullptr;
}  // namespace albert::cpu

#endif
