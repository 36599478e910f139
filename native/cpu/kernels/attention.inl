// Attention of queries of one head over all keys of its sequence.
//
// Scores are kept transposed, [key][query]: softmax then runs down columns, so maximum and sum need no
// horizontal step, and the probabilities are born in the order in which the second product broadcasts them.
// kPrecision is that of both products and of query, key and value; softmax is fp32. bf16 needs its
// arithmetic (kBf16RowLanes == 1).

constexpr int kQueryVectors = 2;
constexpr int64_t kQueryBlock = kQueryVectors * kWidth;

// The memory of one task, cut from its scratch.
template <Precision kPrecision>
struct AttentionScratch {
  explicit AttentionScratch(const AttentionTask& task)
      : depth(lanes_of(task.head_size, kPrecision)),
        queries(task.scratch),
        scores(queries + task.stride * kQueryBlock),
        value_pairs(scores + (task.keys + 1) * kQueryBlock) {}
  int64_t depth;      // lanes of a head's row
  Lane* queries;      // [depth][kQueryBlock]
  Lane* scores;       // [keys][kQueryBlock]: scores, then probabilities, those of bf16 in pairs of keys
  Lane* value_pairs;  // bf16: [ceil(keys / 2)][stride], lane (j, d) = values (2 j, d) and (2 j + 1, d)
};

inline void pair_values(Lane* pairs, const AttentionTask& task) {
  const Bf16* value = static_cast<const Bf16*>(task.value);
  for (int64_t k = 0; k < task.keys; k += 2, pairs += task.stride)
    for (int64_t d = 0; d < task.stride; d += kWidth) {
      const Bf16* low = value + k * task.stride + d;
      store_lanes(pairs + d, pair_bf16(load(low), k + 1 < task.keys ? load(low + task.stride) : zero()));
    }
}

// transposed[l][q] = lane l of row q of the block that starts at `begin`, of rows given by `indices` or in
// order; those past the last of `count` repeat it, and what they compute is dropped.
template <int kVectors>
inline void transpose_block(Lane* transposed, const Lane* x, int64_t stride, const int32_t* indices,
                            int64_t begin, int64_t count, int64_t depth) {
  for (int64_t block = 0; block < kVectors * kWidth; block += kWidth) {
    const Lane* rows[kWidth];
    for (int64_t i = 0; i < kWidth; ++i) {
      const int64_t q = std::min(begin + block + i, count - 1);
      rows[i] = x + (indices ? indices[q] : q) * stride;
    }
    // Rows are padded to whole vectors; lanes past the depth are transposed too and never read.
    for (int64_t l = 0; l < depth; l += kWidth) {
      transpose(transposed + l * kQueryBlock + block, kQueryBlock, rows);
      for (const Lane*& row : rows) row += kWidth;
    }
  }
}

// products[k][q] = row k . column q of a transposed block; visit(v, product) sees every vector of them.
template <Precision kPrecision, int kVectors, typename Visit>
inline void block_products(Lane* products, const Lane* rows_of_keys, int64_t stride, int64_t keys,
                           const Lane* transposed, int64_t depth, const Visit& visit) {
  constexpr int kRows = kTileRows;
  alignas(64) Lane sums[kRows * kVectors * kWidth];
  for (int64_t k = 0; k < keys; k += kRows) {
    const int64_t rows = std::min<int64_t>(kRows, keys - k);
    dot_rows<kPrecision, kVectors>(rows, sums, rows_of_keys + k * stride, stride, 1, transposed, kQueryBlock,
                                   depth);
    for (int64_t r = 0; r < rows; ++r)
      for (int v = 0; v < kVectors; ++v) {
        const Lanes product = load_lanes(sums + (r * kVectors + v) * kWidth);
        store_lanes(products + (k + r) * kQueryBlock + v * kWidth, product);
        visit(v, as_vec(product));
      }
  }
}

// scores[k][q] = key k . query q; leaves the largest score of each query in `largest`.
template <Precision kPrecision, int kVectors>
inline void attention_scores(Vec* largest, Lane* scores, const void* key, int64_t stride, int64_t keys,
                             const Lane* queries, int64_t depth) {
  for (int v = 0; v < kVectors; ++v) largest[v] = broadcast(-std::numeric_limits<float>::infinity());
  block_products<kPrecision, kVectors>(scores, static_cast<const Lane*>(key),
                                       stride / values_per_lane(kPrecision), keys, queries, depth,
                                       [&](int v, Vec score) { largest[v] = max(largest[v], score); });
}

// scores = exp((score - largest) / sqrt(D)), not yet divided by their sum; inverse[q] = 1 / sum. Pair j of
// bf16 probabilities takes the place of row j, which was read before.
template <Precision kPrecision, int kVectors>
inline void attention_softmax(float* inverse, const Vec* largest, Lane* scores, int64_t keys,
                              int64_t head_size) {
  constexpr bool kExact = kPrecision == Precision::kFp32;
  const Vec factor = broadcast(kLog2E / std::sqrt(static_cast<float>(head_size)));
  for (int v = 0; v < kVectors; ++v) {
    Lane* column = scores + v * kWidth;
    const Vec offset = mul(largest[v], factor);
    const auto probability = [&](int64_t k) {
      return exp2<kExact>(sub(mul(as_vec(load_lanes(column + k * kQueryBlock)), factor), offset));
    };
    Vec sum = zero();
    if constexpr (kPrecision == Precision::kFp32) {
      for (int64_t k = 0; k < keys; ++k) {
        const Vec p = probability(k);
        sum = add(sum, p);
        store_lanes(column + k * kQueryBlock, as_lanes(p));
      }
    } else {
      for (int64_t k = 0; k < keys; k += 2) {
        const Vec even = probability(k), odd = k + 1 < keys ? probability(k + 1) : zero();
        sum = add(sum, add(even, odd));
        store_lanes(column + k / 2 * kQueryBlock, pair_bf16(even, odd));
      }
    }
    store(inverse + v * kWidth, div(broadcast(1), sum));
  }
}

// factors(k, v, keep) for every key and vector of queries: the dropout of probabilities, four keys a draw.
// `row` is the number of the block's first query among all rows of all heads.
template <int kVectors, typename Visit>
inline void for_kept(const Dropout& dropout, int64_t row, int64_t keys, const Visit& visit) {
  constexpr int kCount = kVectors * static_cast<int>(kWidth);
  alignas(64) float factors[4 * kCount];
  for (int64_t k = 0; k < keys; k += 4) {
    keep_factors<kCount, 1, kCount>(factors, dropout, row_counter(row) + static_cast<uint64_t>(k / 4),
                                    row_counter(1));
    for (int64_t i = 0; i < std::min<int64_t>(4, keys - k); ++i)
      for (int v = 0; v < kVectors; ++v) visit(k + i, v, load(factors + i * kCount + v * kWidth));
  }
}

inline Vec load_score(const Lane* scores, int64_t k, int v) {
  return as_vec(load_lanes(scores + k * kQueryBlock + v * kWidth));
}
inline void store_score(Lane* scores, int64_t k, int v, Vec value) {
  store_lanes(scores + k * kQueryBlock + v * kWidth, as_lanes(value));
}

// context[q] = sum over k of probability(k, q) * value k, for kVectors vectors of the head's columns.
template <Precision kPrecision, int kVectors>
inline void attention_context(const float* inverse, int64_t begin, int64_t queries, int64_t column,
                              const AttentionScratch<kPrecision>& scratch, const AttentionTask& task) {
  constexpr int kRows = kTileRows;
  alignas(64) Lane sums[kRows * kVectors * kWidth];
  const Lane* value =
      kPrecision == Precision::kFp32 ? static_cast<const Lane*>(task.value) : scratch.value_pairs;
  for (int64_t q = 0; q < queries; q += kRows) {
    const int64_t rows = std::min<int64_t>(kRows, queries - q);
    dot_rows<kPrecision, kVectors>(rows, sums, scratch.scores + q, 1, kQueryBlock, value + column,
                                   task.stride, lanes_of(task.keys, kPrecision));
    for (int64_t r = 0; r < rows; ++r)
      for (int v = 0; v < kVectors; ++v) {
        const Vec sum = as_vec(load_lanes(sums + (r * kVectors + v) * kWidth)),
                  mean = mul(sum, broadcast(inverse[q + r]));
        const int64_t first = column + v * kWidth, count = task.head_size - first,
                      at = (begin + q + r) * task.context_stride + first;
        if (task.context_is_bf16)
          store_some(static_cast<Bf16*>(task.context) + at, mean, count);
        else
          store_some(static_cast<float*>(task.context) + at, mean, count);
      }
  }
}

// The probability of key k for query q of the block, before its division by the sum.
template <Precision kPrecision>
inline float stored_probability(const Lane* scores, int64_t k, int64_t q) {
  const int64_t group = values_per_lane(kPrecision);
  Lane bits = scores[k / group * kQueryBlock + q];
  if constexpr (kPrecision == Precision::kBf16) bits = k % 2 ? bits & 0xffff0000u : bits << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// The queries [begin, begin + queries), at most kVectors vectors of them.
template <Precision kPrecision, int kVectors>
void attention_block(const AttentionTask& task, int64_t begin, int64_t queries,
                     const AttentionScratch<kPrecision>& scratch) {
  Vec largest[kVectors];
  alignas(64) float inverse[kVectors * kWidth];
  transpose_block<kVectors>(scratch.queries, static_cast<const Lane*>(task.query),
                            task.stride / values_per_lane(kPrecision), task.query_rows, begin, task.queries,
                            scratch.depth);
  attention_scores<kPrecision, kVectors>(largest, scratch.scores, task.key, task.stride, task.keys,
                                         scratch.queries, scratch.depth);
  attention_softmax<kPrecision, kVectors>(inverse, largest, scratch.scores, task.keys, task.head_size);
  if constexpr (kPrecision == Precision::kFp32)
    if (task.dropout.probability > 0)
      for_kept<kVectors>(task.dropout, task.first_row + begin, task.keys, [&](int64_t k, int v, Vec keep) {
        store_score(scratch.scores, k, v, mul(load_score(scratch.scores, k, v), keep));
      });

  int64_t column = 0;
  for (; column + kWidth < task.head_size; column += 2 * kWidth)
    attention_context<kPrecision, 2>(inverse, begin, queries, column, scratch, task);
  if (column < task.head_size)
    attention_context<kPrecision, 1>(inverse, begin, queries, column, scratch, task);

  if (task.probabilities)
    for (int64_t q = 0; q < queries; ++q)
      for (int64_t k = 0; k < task.keys; ++k)
        task.probabilities[(begin + q) * task.keys + k] =
            stored_probability<kPrecision>(scratch.scores, k, q) * inverse[q];
}

template <Precision kPrecision>
void attention(const AttentionTask& task) {
  if (task.keys == 0) {  // nothing may be attended to: the context is zero
    const size_t value = task.context_is_bf16 ? sizeof(Bf16) : sizeof(float);
    for (int64_t q = 0; q < task.queries; ++q)
      std::memset(static_cast<char*>(task.context) + static_cast<size_t>(q * task.context_stride) * value, 0,
                  static_cast<size_t>(task.head_size) * value);
    return;
  }
  const AttentionScratch<kPrecision> scratch(task);
  if constexpr (kPrecision == Precision::kBf16) pair_values(scratch.value_pairs, task);
  for (int64_t begin = 0; begin < task.queries; begin += kQueryBlock) {
    const int64_t queries = std::min(kQueryBlock, task.queries - begin);
    if (queries <= kWidth)
      attention_block<kPrecision, 1>(task, begin, queries, scratch);
    else
      attention_block<kPrecision, kQueryVectors>(task, begin, queries, scratch);
  }
}
