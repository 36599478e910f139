// The gradient of one head's attention in one sequence, fp32: probabilities are computed again, a block of
// queries at a time, so that nothing of the size of the score matrix outlives its block.
//
// With P = softmax(Q K^T / sqrt(D)), M the dropout's factors and O = (P M) V: dV = (P M)^T dO,
// dP = M dO V^T, dS = P (dP - rowsum(P dP)) / sqrt(D), dQ = dS K, dK = dS^T Q.

// The memory of one task, cut from its scratch; kernels.h tells its size.
struct AttentionGradientScratch {
  explicit AttentionGradientScratch(const AttentionGradientTask& task)
      : queries(task.scratch),
        dcontexts(queries + task.stride * kQueryBlock),
        probabilities(dcontexts + task.stride * kQueryBlock),
        kept(probabilities + task.keys * kQueryBlock),
        dscores(kept + task.keys * kQueryBlock),
        dkey(reinterpret_cast<float*>(dscores + task.keys * kQueryBlock)),
        dvalue(dkey + task.keys * task.stride) {}
  Lane* queries;        // [D][kQueryBlock]
  Lane* dcontexts;      // likewise
  Lane* probabilities;  // [keys][kQueryBlock]
  Lane* kept;           // likewise, after dropout
  Lane* dscores;        // likewise
  float* dkey;          // [keys][stride]
  float* dvalue;        // likewise
};

// y[r][c] += sum over l of x(r, l) w[l][c] for `count` rows and the columns of a head.
inline void add_products(float* y, int64_t y_stride, const Lane* x, int64_t x_row, int64_t x_depth,
                         const float* w, int64_t w_stride, int64_t depth, int64_t width, int64_t count) {
  constexpr int kRows = kTileRows, kVectors = 2;
  alignas(64) Lane sums[kRows * kVectors * kWidth];
  for (int64_t column = 0; column < width; column += kVectors * kWidth)
    for (int64_t row = 0; row < count; row += kRows) {
      const int64_t rows = std::min<int64_t>(kRows, count - row);
      const Lane* weights = reinterpret_cast<const Lane*>(w + column);
      const bool narrow = width - column <= kWidth;
      if (narrow)
        dot_rows<Precision::kFp32, 1>(rows, sums, x + row * x_row, x_row, x_depth, weights, w_stride, depth);
      else
        dot_rows<Precision::kFp32, kVectors>(rows, sums, x + row * x_row, x_row, x_depth, weights, w_stride,
                                             depth);
      const int vectors = narrow ? 1 : kVectors;
      for (int64_t r = 0; r < rows; ++r)
        for (int v = 0; v < vectors; ++v) {
          const int64_t at = column + v * kWidth, some = width - at;
          float* out = y + (row + r) * y_stride + at;
          const Vec sum = as_vec(load_lanes(sums + (r * vectors + v) * kWidth));
          store_some(out, add(sum, load_some(out, some)), some);
        }
    }
}

// The queries [begin, begin + queries), at most kVectors vectors of them.
template <int kVectors>
void attention_gradient_block(const AttentionGradientTask& task, int64_t begin, int64_t queries,
                              const AttentionGradientScratch& scratch) {
  constexpr Precision kPrecision = Precision::kFp32;
  const int64_t depth = task.head_size;
  Vec largest[kVectors], shared[kVectors];
  alignas(64) float inverse[kVectors * kWidth];
  transpose_block<kVectors>(scratch.queries, reinterpret_cast<const Lane*>(task.query), task.stride, nullptr,
                            begin, task.queries, depth);
  transpose_block<kVectors>(scratch.dcontexts, reinterpret_cast<const Lane*>(task.dcontext),
                            task.dcontext_stride, nullptr, begin, task.queries, depth);
  attention_scores<kPrecision, kVectors>(largest, scratch.probabilities, task.key, task.stride, task.keys,
                                         scratch.queries, depth);
  attention_softmax<kPrecision, kVectors>(inverse, largest, scratch.probabilities, task.keys, depth);
  block_products<kPrecision, kVectors>(scratch.dscores, reinterpret_cast<const Lane*>(task.value),
                                       task.stride, task.keys, scratch.dcontexts, depth, [](int, Vec) {});

  for (int v = 0; v < kVectors; ++v) shared[v] = zero();  // rowsum(P dP)
  const auto weigh = [&](int64_t k, int v, Vec keep) {
    const Vec p = mul(load_score(scratch.probabilities, k, v), load(inverse + v * kWidth));
    const Vec kept = mul(p, keep), product = mul(kept, load_score(scratch.dscores, k, v));
    store_score(scratch.probabilities, k, v, p);
    store_score(scratch.kept, k, v, kept);
    store_score(scratch.dscores, k, v, product);
    shared[v] = add(shared[v], product);
  };
  if (task.dropout.probability > 0)
    for_kept<kVectors>(task.dropout, task.first_row + begin, task.keys, weigh);
  else
    for (int64_t k = 0; k < task.keys; ++k)
      for (int v = 0; v < kVectors; ++v) weigh(k, v, broadcast(1));

  const Vec factor = broadcast(1 / std::sqrt(static_cast<float>(depth)));
  for (int64_t k = 0; k < task.keys; ++k)
    for (int v = 0; v < kVectors; ++v) {
      const Vec p = load_score(scratch.probabilities, k, v), product = load_score(scratch.dscores, k, v);
      store_score(scratch.dscores, k, v, mul(sub(product, mul(p, shared[v])), factor));
    }

  add_products(scratch.dvalue, task.stride, scratch.kept, kQueryBlock, 1,
               task.dcontext + begin * task.dcontext_stride, task.dcontext_stride, queries, depth, task.keys);
  add_products(scratch.dkey, task.stride, scratch.dscores, kQueryBlock, 1, task.query + begin * task.stride,
               task.stride, queries, depth, task.keys);
  add_products(task.dquery + begin * task.gradient_stride, task.gradient_stride, scratch.dscores, 1,
               kQueryBlock, task.key, task.stride, task.keys, depth, queries);
}

void attention_backward(const AttentionGradientTask& task) {
  const AttentionGradientScratch scratch(task);
  std::fill_n(scratch.dkey, 2 * task.keys * task.stride, 0.0f);
  for (float* part : {task.dquery, task.dkey, task.dvalue})
    for (int64_t r = 0; r < task.queries; ++r)
      std::fill_n(part + r * task.gradient_stride, task.head_size, 0.0f);
  if (task.keys > 0)
    for (int64_t begin = 0; begin < task.queries; begin += kQueryBlock) {
      const int64_t queries = std::min(kQueryBlock, task.queries - begin);
      if (queries <= kWidth)
        attention_gradient_block<1>(task, begin, queries, scratch);
      else
        attention_gradient_block<kQueryVectors>(task, begin, queries, scratch);
    }
  for (int64_t k = 0; k < task.keys; ++k) {
    std::copy_n(scratch.dkey + k * task.stride, task.head_size, task.dkey + k * task.gradient_stride);
    std::copy_n(scratch.dvalue + k * task.stride, task.head_size, task.dvalue + k * task.gradient_stride);
  }
}
