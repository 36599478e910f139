// Attention of a block of queries of one head over all keys of its sequence.
//
// Scores are kept transposed, [key][query]: softmax then runs down columns, so maximum and sum need no
// horizontal step, and the probabilities are born in the order in which the second product broadcasts them.

constexpr int64_t kQueryVectors = 2;
constexpr int64_t kQueryBlock = kQueryVectors * kWidth;

// transposed[d][q] = query q of the block; queries past the last repeat it, and what they compute is dropped.
inline void transpose_queries(float* transposed, const AttentionTask& task) {
  const int64_t whole = task.head_size / kWidth * kWidth;
  for (int64_t block = 0; block < kQueryBlock; block += kWidth) {
    const float* rows[kWidth];
    for (int64_t i = 0; i < kWidth; ++i) {
      const int64_t q = std::min(block + i, task.queries - 1);
      rows[i] = task.query + (task.query_rows ? task.query_rows[q] : task.first_query + q) * task.stride;
    }
    float* out = transposed + block;
    for (int64_t d = 0; d < whole; d += kWidth, out += kWidth * kQueryBlock) {
      transpose(out, kQueryBlock, rows);
      for (const float*& row : rows) row += kWidth;
    }
    for (int64_t d = whole; d < task.head_size; ++d, out += kQueryBlock)
      for (int64_t i = 0; i < kWidth; ++i) out[i] = *rows[i]++;
  }
}

// scores[k][q] = key k . query q; leaves the largest score of each query in `largest`.
inline void attention_scores(float* scores, Vec* largest, const float* transposed,
                             const AttentionTask& task) {
  for (int64_t v = 0; v < kQueryVectors; ++v) largest[v] = broadcast(-std::numeric_limits<float>::infinity());
  for (int64_t k = 0; k < task.keys; k += kTileRows) {
    const int64_t rows = std::min<int64_t>(kTileRows, task.keys - k);
    float* tile = scores + k * kQueryBlock;
    dot_rows<kQueryVectors>(rows, tile, task.key + k * task.stride, task.stride, 1, transposed, kQueryBlock,
                            task.head_size);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t v = 0; v < kQueryVectors; ++v)
        largest[v] = max(largest[v], load(tile + r * kQueryBlock + v * kWidth));
  }
}

// scores = exp((score - largest) / sqrt(D)), not yet divided by their sum; inverse[q] = 1 / sum.
inline void attention_softmax(float* scores, float* inverse, const Vec* largest, const AttentionTask& task) {
  const Vec factor = broadcast(kLog2E / std::sqrt(static_cast<float>(task.head_size)));
  for (int64_t v = 0; v < kQueryVectors; ++v) {
    const Vec offset = mul(largest[v], factor);
    Vec sum = zero();
    for (int64_t k = 0; k < task.keys; ++k) {
      float* score = scores + k * kQueryBlock + v * kWidth;
      const Vec p = exp2(sub(mul(load(score), factor), offset));
      sum = add(sum, p);
      store(score, p);
    }
    store(inverse + v * kWidth, div(broadcast(1), sum));
  }
}

// context[q] = sum over k of probability(k, q) * value k, for kVectors vectors of the head's columns.
template <int kVectors>
inline void attention_context(const float* scores, const float* inverse, int64_t column,
                              const AttentionTask& task) {
  alignas(64) float acc[kTileRows * kVectors * kWidth];
  for (int64_t q = 0; q < task.queries; q += kTileRows) {
    const int64_t rows = std::min<int64_t>(kTileRows, task.queries - q);
    dot_rows<kVectors>(rows, acc, scores + q, 1, kQueryBlock, task.value + column, task.stride, task.keys);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t v = 0; v < kVectors; ++v) {
        const int64_t at = column + v * kWidth;
        store_some(task.context + (q + r) * task.context_stride + at,
                   mul(load(acc + (r * kVectors + v) * kWidth), broadcast(inverse[q + r])),
                   task.head_size - at);
      }
  }
}

void attention(const AttentionTask& task) {
  if (task.keys == 0) {  // nothing may be attended to: the context is zero
    for (int64_t q = 0; q < task.queries; ++q)
      std::fill_n(task.context + q * task.context_stride, task.head_size, 0.0f);
    return;
  }
  float* transposed = task.scratch;
  float* scores = task.scratch + task.head_size * kQueryBlock;
  Vec largest[kQueryVectors];
  alignas(64) float inverse[kQueryBlock];
  transpose_queries(transposed, task);
  attention_scores(scores, largest, transposed, task);
  attention_softmax(scores, inverse, largest, task);

  int64_t column = 0;
  for (; column + kWidth < task.head_size; column += 2 * kWidth)
    attention_context<2>(scores, inverse, column, task);
  if (column < task.head_size) attention_context<1>(scores, inverse, column, task);

  if (task.probabilities)
    for (int64_t q = 0; q < task.queries; ++q)
      for (int64_t k = 0; k < task.keys; ++k)
        task.probabilities[q * task.keys + k] = scores[k * kQueryBlock + q] * inverse[q];
}
