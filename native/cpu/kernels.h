// The table of kernels that each instruction set fills: single-threaded functions over a range of rows.
#pragma once

#include <cstdint>

#include "ops.h"

namespace albert::cpu {

// What happens to a finished tile of x W^T + b before it is stored.
enum class Epilogue { kActivation, kResidual, kHeads };

// y = x W^T + b for `rows` rows and the panels [panel_begin, panel_end) of the packed weights.
struct LinearTask {
  const float* x;  // [rows, x_stride]
  int64_t x_stride;
  const float* panels;  // [ceil(out / panel_width)][in][panel_width], zero in the columns past `out`
  const float* bias;    // [ceil(out / panel_width) * panel_width]
  int64_t in, out, rows;
  int64_t panel_begin, panel_end;
  Epilogue epilogue;
  Activation activation;  // kActivation: y = activation(product)
  float* y;               // kActivation, kResidual (y += product): [rows, y_stride]
  int64_t y_stride;
  Heads heads;        // kHeads: column c of row r goes to head_rows of matrix c / H, head c % H / D
  int64_t head_rows;  // kHeads: N, the rows of one head
  int64_t first_row;  // kHeads: the row number of row 0 of this task
};

// Attention of the queries [query_begin, query_end) of one head of one sequence.
struct AttentionTask {
  const float* query;  // of this head: [.., stride]
  const float* key;    // of this head and sequence: [keys, stride]
  const float* value;  // likewise
  int64_t stride, head_size, keys;
  const int32_t* query_rows;  // row numbers into `query`; null: rows first_query, first_query + 1, ...
  int64_t first_query;
  int64_t queries;  // at most query_block
  float* context;   // [queries, context_stride], the columns of this head
  int64_t context_stride;
  float* probabilities;  // null, or [queries, keys]
  float* scratch;        // attention_scratch(head_size, keys) floats, 64-byte aligned
};

struct Kernels {
  const char* name;
  int64_t vector_width;  // fp32 lanes of a register
  int64_t panel_width;   // columns of a weight panel
  int64_t tile_rows;     // rows of x that a tile holds in registers
  int64_t query_block;   // queries that attention works on at a time

  void (*linear)(const LinearTask& task);
  void (*layernorm)(float* y, int64_t y_stride, const float* x, int64_t x_stride,
                    const LayerNormWeights& norm, int64_t width, int64_t rows);
  // y = LayerNorm(word[id] + type[type] + position[position])
  void (*embedding)(float* y, int64_t y_stride, const int32_t* ids, const int32_t* types,
                    const int32_t* positions, const EmbeddingWeights& weights, int64_t rows);
  void (*attention)(const AttentionTask& task);

  int64_t attention_scratch(int64_t head_size, int64_t keys) const {
    return (head_size + keys) * query_block;
  }
};

// The instruction sets of this build, best first; null entries are not compiled for this architecture.
extern const Kernels* const kAvx512;
extern const Kernels* const kAvx2;
extern const Kernels* const kNeon;
extern const Kernels* const kScalar;

// The table called `isa`, or the best one when it is empty and ALBERT_CPU_ISA is not set.
// Throws Error{kDevice} that lists what is available.
const Kernels& select_kernels(const std::string& isa);

}  // namespace albert::cpu
