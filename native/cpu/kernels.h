// The table of kernels that each instruction set fills: single-threaded functions over a range of rows.
#pragma once

#include <cstdint>

#include "ops.h"
#include "support/softmax_loss.h"
#include "support/trust_ratio.h"

namespace albert::cpu {

// The unit of every product: 32 bits of consecutive depth, one fp32, two bf16 or four int8 values, the first
// in the lowest bits. All precisions share one weight layout and one loop; only the dot product differs.
// Where a processor has no bf16 arithmetic, each bf16 value of a row has a lane of its own, as fp32, and
// meets one half of a lane of weights (Kernels::bf16_row_lanes).
using Lane = uint32_t;
using Bf16 = uint16_t;

constexpr int64_t values_per_lane(Precision precision) {
  return precision == Precision::kInt8 ? 4 : precision == Precision::kBf16 ? 2 : 1;
}
constexpr int64_t lanes_of(int64_t values, Precision precision) {
  const int64_t group = values_per_lane(precision);
  return (values + group - 1) / group;
}

// Converts rows into what a bf16 or int8 product multiplies.
struct OperandTask {
  const void* x;  // [rows, x_stride], fp32 or bf16
  bool x_is_bf16;
  int64_t x_stride;          // values between rows
  const float* input_scale;  // [width] factors of x, or null; int8 only. Zero leaves an outlier out.
  int64_t width, rows;
  Lane* lanes;  // [rows, lane_stride], zero past `width` to the end of its lane
  int64_t lane_stride;
  float* row_scale;   // int8, [rows]: x = row_scale * value + row_offset
  float* row_offset;  // int8, [rows]: the x of value 0
};

// Rounds one column of weights to the lanes of a bf16 or int8 product.
struct WeightTask {
  const float* weights;  // [in]
  const float* factors;  // [in] of the weights, the inverse of those that the inputs have; or null
  int64_t in;
  Lane* lanes;  // [ceil(in / values in a lane)]
  float scale;  // int8, result: weight = scale * value
  float sum;    // int8, result: the sum of the rounded weights
};

// What happens to a finished tile of x W^T + b before it is stored.
enum class Epilogue { kActivation, kResidual, kHeads };

// y = x W^T + b for `rows` rows and the panels [panel_begin, panel_end) of the packed weights.
struct LinearTask {
  const Lane* x;  // [rows, x_stride]
  int64_t x_stride;
  const float* row_scale;     // int8: see OperandTask
  const float* row_offset;    // int8
  const Lane* panels;         // [ceil(out / panel_width)][depth][panel_width], zero in the columns past `out`
  const float* bias;          // [ceil(out / panel_width) * panel_width]
  const float* column_scale;  // int8, likewise: weight = column_scale * value
  const float* column_sum;    // int8, likewise: the sum of the column's weights
  const Lane* outliers;       // int8: [rows, outlier_stride] bf16 inputs that the rest leaves out, or null
  const Lane* outlier_panels;             // [ceil(out / panel_width)][outlier_depth][panel_width] bf16
  int64_t outlier_stride, outlier_depth;  // lanes
  int64_t depth, out, rows;               // depth in lanes of a panel
  int64_t panel_begin, panel_end;
  bool spare_rows;  // rows up to the next multiple of the tile's may be read
  Epilogue epilogue;
  Activation activation;  // kActivation: y = activation(product)
  void* y;                // kActivation, kResidual (y += product): [rows, y_stride]
  bool y_is_bf16;         // kActivation: else y is fp32
  int64_t y_stride;       // values between rows
  Heads heads;            // kHeads: column c of row r goes to head_rows of matrix c / H, head c % H / D
  int64_t head_rows;      // kHeads: N, the rows of one head
  int64_t first_row;      // kHeads: the row number of row 0 of this task
};

// Attention of some queries of one head of one sequence.
struct AttentionTask {
  const void* query;  // of this head: [.., stride], fp32 or bf16
  const void* key;    // of this head and sequence: [keys, stride]
  const void* value;  // likewise
  int64_t stride, head_size, keys;
  const int32_t* query_rows;  // [queries] row numbers into `query`; null: rows 0, 1, ...
  int64_t queries;
  void* context;           // [queries, context_stride], the columns of this head
  bool context_is_bf16;    // else it is fp32
  int64_t context_stride;  // values between rows
  float* probabilities;    // null, or [queries, keys]
  Dropout dropout;         // fp32 only
  int64_t first_row;       // the number of query row 0 among all rows of all heads, for dropout
  Lane* scratch;           // attention_scratch(head_size, keys) lanes, 64-byte aligned
};

// The gradient of one head's attention in one sequence, all of whose rows are queries. Rows past the keys
// attend without being attended to. Gradients are written, not added to.
struct AttentionGradientTask {
  const float *query, *key, *value;  // of this head and sequence: [queries or keys, stride]
  int64_t stride, head_size, keys, queries;
  const float* dcontext;  // [queries, dcontext_stride], the columns of this head
  int64_t dcontext_stride;
  float *dquery, *dkey, *dvalue;  // [queries, gradient_stride], the columns of this head
  int64_t gradient_stride;
  Dropout dropout;
  int64_t first_row;  // as in AttentionTask
  Lane* scratch;      // attention_backward_scratch(stride, keys) lanes, 64-byte aligned
};

struct Kernels {
  const char* name;
  int64_t vector_width;    // 32-bit lanes of a register
  int64_t panel_width;     // columns of a weight panel
  int64_t tile_rows;       // rows of x that a tile holds in registers
  int64_t row_step;        // rows of a block are a multiple: a tile, or 1 where part of one takes less time
  int64_t bf16_row_lanes;  // lanes of a row for each lane of a bf16 panel: 1 or 2
  int64_t query_block;     // queries that attention works on at a time

  // Indexed by Precision.
  void (*operand[3])(const OperandTask& task);  // none for fp32, which is multiplied as it is
  void (*linear[3])(const LinearTask& task);
  void (*attention[2])(const AttentionTask& task);  // none for bf16 without its arithmetic

  void (*weights[3])(WeightTask& task);  // none for fp32
  // out[l * out_stride + i] = rows[i][l] for vector_width rows and as many lanes.
  void (*transpose)(Lane* out, int64_t out_stride, const Lane* const* rows);

  void (*layernorm)(float* y, int64_t y_stride, const float* x, int64_t x_stride,
                    const LayerNormWeights& norm, int64_t width, int64_t rows);
  // y = LayerNorm(word[id] + type[type] + position[position]); `sums`, unless null, keeps what it was given.
  void (*embedding)(float* y, float* sums, int64_t y_stride, const int32_t* ids, const int32_t* types,
                    const int32_t* positions, const EmbeddingWeights& weights, int64_t rows);

  // Training; see ops.h. Matrices of rows share one stride where one is given.
  void (*embedding_backward)(const EmbeddingGradient& gradient, const float* dsum, int64_t stride,
                             const int32_t* ids, const int32_t* types, const int32_t* positions,
                             int64_t width, int64_t rows);
  void (*attention_backward)(const AttentionGradientTask& task);
  // X and dY^T of a weight gradient; see kernels/gradient.inl. Indexed by Precision.
  void (*panel_of_rows[2])(Lane* panel, const float* const* rows, int64_t count, int64_t column,
                           int64_t columns);
  void (*columns_as_rows[2])(Lane* out, int64_t out_stride, float* sums, const float* const* rows,
                             int64_t count, int64_t column, int64_t columns);
  void (*activation_forward)(float* y, const float* x, Activation activation, int64_t count);
  void (*activation_backward)(float* dx, float* y, const float* dy, const float* x, Activation activation,
                              int64_t count);
  void (*layernorm_backward)(float* dx, const LayerNormGradient& gradient, const float* dy, const float* x,
                             int64_t stride, const LayerNormWeights& norm, int64_t width, int64_t rows);
  void (*residual_layernorm)(float* y, float* sum, const float* x, int64_t stride,
                             const LayerNormWeights& norm, const Dropout& dropout, int64_t first_row,
                             int64_t width, int64_t rows);
  void (*dropout)(float* y, const float* x, int64_t stride, const Dropout& dropout, int64_t first_row,
                  int64_t width, int64_t rows);
  // Of one row.
  void (*cross_entropy)(float* loss, uint8_t* hit, float* logits, int32_t label, float scale, int64_t width);
  SquaredNorms (*moments)(float* gradient, float* first, float* second, const float* weight,
                          const MomentRule& rule, float tensor_decay, int64_t count);
  void (*descend)(float* weight, const float* update, float rate, int64_t count);
  double (*squared_norm)(const float* x, int64_t count);

  bool multiplies_bf16() const { return bf16_row_lanes == 1; }
  int64_t row_lanes(Precision precision) const { return precision == Precision::kBf16 ? bf16_row_lanes : 1; }
  // Transposed queries and scores of a block, and the values in pairs of keys.
  int64_t attention_scratch(int64_t head_stride, int64_t keys) const {
    return (head_stride + keys + 1) * query_block + (keys + 1) / 2 * head_stride;
  }
  // Transposed queries and context gradients, three blocks of scores, gradients of keys and values.
  int64_t attention_backward_scratch(int64_t head_stride, int64_t keys) const {
    return (2 * head_stride + 3 * keys) * query_block + 2 * keys * head_stride;
  }
};

// The instruction sets of this build, best first; null entries are not compiled for this architecture.
extern const Kernels* const kAvx512Bf16;
extern const Kernels* const kAvx512Vnni;
extern const Kernels* const kAvx512;
extern const Kernels* const kAvxVnni;
extern const Kernels* const kAvx2;
extern const Kernels* const kNeonBf16;
extern const Kernels* const kNeonDotprod;
extern const Kernels* const kNeon;
extern const Kernels* const kScalar;

// The table called `isa`, or the best one when it is empty and ALBERT_CPU_ISA is not set. 'avx512' and 'neon'
// mean the best of their family. Throws Error{kDevice} that lists what is available.
const Kernels& select_kernels(const std::string& isa);

}  // namespace albert::cpu
