// Every kernel, and the table of them. A spine includes this after the register functions of its instruction
// set.

#include "cpu/kernels/activation.inl"
#include "cpu/kernels/gemm.inl"
#include "cpu/kernels/layernorm.inl"
#include "cpu/kernels/embedding.inl"
#include "cpu/kernels/attention.inl"

constexpr Kernels make_table(const char* name) {
  return {name,      kWidth,   kTileVectors * kWidth, kTileRows, kQueryBlock, linear, layernorm,
          embedding, attention};
}
