// The spine of NEON with dot products of bytes and of bf16: int8 and bf16 products in one instruction
// (Neoverse V1 and N2, Apple M2 and newer).
#include "cpu/spine.h"

#if defined(__aarch64__)

#if defined(__clang__)
ALBERT_BEGIN_TARGET("dotprod,bf16")
#else
ALBERT_BEGIN_TARGET("arch=armv8.2-a+dotprod+bf16")
#endif
namespace albert::cpu::neon_bf16 {
namespace {

#define ALBERT_NEON_DOTPROD
#define ALBERT_NEON_BF16
#include "cpu/simd/neon.h"

#include "cpu/kernels/all.inl"

}  // namespace
}  // namespace albert::cpu::neon_bf16
ALBERT_END_TARGET

namespace albert::cpu {
static constexpr Kernels kTable = neon_bf16::make_table("neon_bf16");
const Kernels* const kNeonBf16 = &kTable;
}  // namespace albert::cpu

#else
const albert::cpu::Kernels* const albert::cpu::kNeonBf16 = nullptr;
#endif
