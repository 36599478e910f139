// Every kernel, and the table of them. A spine includes this after the register functions of its instruction
// set.

#include "cpu/kernels/operand.inl"
#include "cpu/kernels/activation.inl"
#include "cpu/kernels/dropout.inl"
#include "cpu/kernels/gemm.inl"
#include "cpu/kernels/gradient.inl"
#include "cpu/kernels/layernorm.inl"
#include "cpu/kernels/embedding.inl"
#include "cpu/kernels/attention.inl"
#include "cpu/kernels/attention_backward.inl"
#include "cpu/kernels/cross_entropy.inl"
#include "cpu/kernels/optimizer.inl"

constexpr Kernels make_table(const char* name) {
  return {name,
          kWidth,
          kPanelWidth,
          kTileRows,
          kFillsTiles ? kTileRows : 1,
          kBf16RowLanes,
          kQueryBlock,
          {nullptr, bf16_operand, int8_operand},
          {linear<Precision::kFp32>, linear<Precision::kBf16>, linear<Precision::kInt8>},
          {attention<Precision::kFp32>, kBf16RowLanes == 1 ? attention<Precision::kBf16> : nullptr},
          {nullptr, bf16_weights, int8_weights},
          transpose,
          layernorm,
          embedding,
          embedding_backward,
          attention_backward,
          {panel_of_rows<Precision::kFp32>, panel_of_rows<Precision::kBf16>},
          {columns_as_rows<Precision::kFp32>, columns_as_rows<Precision::kBf16>},
          activation_forward,
          activation_backward,
          layernorm_backward,
          residual_layernorm,
          dropout,
          cross_entropy,
          moments,
          descend,
          squared_norm};
}
