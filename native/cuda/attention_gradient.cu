// The gradient of attention: by tiles of queries and keys, for bf16 on the tensor cores, or one query or key
// to a warp, for large heads. With P = softmax(Q K^T / sqrt(D)), M the dropout's factors and O = (P M) V: dV
// = (P M)^T dO, dP = M dO V^T, dS = P (dP - rowsum(P dP)) / sqrt(D), dQ = dS K, dK = dS^T Q. A first launch
// goes by queries and a second by keys, which needs what the first found out about each row: everything is
// added up in one order.
#include "cuda/attention_gradient_fp32.cuh"

namespace albert::cuda {
namespace {

using namespace attention;

// ---- on the tensor cores, a tile of a head's queries or keys to a block

struct TileStatistics {
  float logarithm, shared;  // of the sum of 2^(score log2(e)), base 2; rowsum(P dP)
};

struct TileGradients {
  AttentionGradients of;
  Tiles dqkv;                  // instead of `of.dqkv`, where not null
  TileStatistics* statistics;  // [A, N]
  // What dropout keeps, as draw_kept() has it for both halves of the keys of a tile; null without dropout.
  uint32_t* kept;  // [A, key tiles, N, 2]
  int64_t key_tiles;
  float kept_factor, scale, scale_log2;

  // One half of c's rows times `factor`, to the columns of a head from `column` on.
  template <int kColumns>
  __device__ void store(const float (&c)[kColumns][4], int half, float factor, int64_t row, int column,
                        int64_t size) const {
    if (!dqkv.values) {
      store_row(of.dqkv + row * of.stride + column, c, half, factor, size);
      return;
    }
#pragma unroll
    for (int j = 0; j < kColumns; ++j)
      if (const int d = own_column(j, 0); d < size)
        *reinterpret_cast<uint32_t*>(dqkv.at(row, column + d)) =
            pack_bf16(c[j][2 * half] * factor, c[j][2 * half + 1] * factor);
  }
  __device__ uint32_t* kept_of(int64_t head, int64_t rows, int tile, int64_t row) const {
    return kept + ((head * key_tiles + tile) * rows + row) * 2;
  }
};

// Of a multiprocessor, by the registers of two sums and two tiles of scores.
constexpr int blocks_at_once(int depth) { return depth <= 64 ? 3 : 2; }

// A block goes past the keys twice: forwards for the rows' statistics, and backwards for dQ, so that the last
// tile, whose products it still holds, is the first.
template <int kDepth>
__global__ void __launch_bounds__(kThreads, blocks_at_once(kDepth))
    query_gradient_tile_kernel(TileGradients gradients, DeviceHeads<uint16_t> heads, DeviceSegments segments,
                               Dropout dropout) {
  constexpr int kKeyColumns = kTile / 8;
  uint16_t* const query_tile = dynamic_shared<uint16_t>();
  uint16_t* const dcontext_tile = query_tile + kTile * kDepth;
  uint16_t* const key_tile = dcontext_tile + kTile * kDepth;
  uint16_t* const value_tile = key_tile + kTile * kDepth;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int s = segments.tile_sequence[blockIdx.x], begin = segments.tile_begin[blockIdx.x];
  const int first = segments.first_row[s], first_query = first + begin, head = static_cast<int>(blockIdx.y);
  const int left = segments.rows[s] - begin, queries = left < kTile ? left : kTile;
  const int keys = segments.keys[s], tiles = divide_up(keys, kTile);
  const HeadRows<uint16_t> own = heads.of(head);
  const int column = static_cast<int>(head * heads.size);
  copy_rows<kDepth>(query_tile, own.query, heads.stride, heads.size, first_query, nullptr, queries);
  copy_rows<kDepth>(dcontext_tile, gradients.of.dcontext + column, gradients.of.context_stride, heads.size,
                    first_query, nullptr, queries);

  const auto load = [&](int tile) {
    const int some = keys - tile * kTile < kTile ? keys - tile * kTile : kTile;
    const int first_key = first + tile * kTile;
    __syncthreads();  // everybody has left the tiles
    copy_rows<kDepth>(key_tile, own.key, heads.stride, heads.size, first_key, nullptr, some);
    copy_rows<kDepth>(value_tile, own.value, heads.stride, heads.size, first_key, nullptr, some);
    finish_copies();
  };
  const int steps = warp * 16 < queries ? kDepth / 16 : 0;  // a warp without rows loads tiles for the others
  float scores[kKeyColumns][4], dweights[kKeyColumns][4];   // of keys past the last: -infinity, and 0
  const auto multiply = [&](int tile) {
#pragma unroll
    for (int j = 0; j < kKeyColumns; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) scores[j][e] = dweights[j][e] = 0;
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      uint32_t rows[4];
      load_rows<kDepth>(rows, query_tile, warp * 16, step);
      multiply_rows<kDepth>(scores, rows, key_tile, 0, step);
      load_rows<kDepth>(rows, dcontext_tile, warp * 16, step);
      multiply_rows<kDepth>(dweights, rows, value_tile, 0, step);
    }
#pragma unroll
    for (int j = 0; j < kKeyColumns; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e)
        if (tile * kTile + own_column(j, e) >= keys) scores[j][e] = -INFINITY;
  };

  // This lane's word for a tile is written in the first pass and read in the second.
  const int drawn = first_query + drawn_row(warp * 16, queries);
  const auto kept_word = [&](int tile) {
    return gradients.kept_of(head, heads.rows, tile, drawn) + drawn_half();
  };

  // Of this lane's two rows, in powers of two.
  float largest[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0}, shared[2] = {0, 0};
  for (int tile = 0; tile < tiles; ++tile) {
    load(tile);
    multiply(tile);
    uint32_t word = ~0u;
    if (gradients.kept) {
      word = draw_kept(dropout, head * heads.rows + drawn, tile * kTile);
      *kept_word(tile) = word;
    }
    const KeptElements kept = exchange_kept(word);
    float most[2] = {-INFINITY, -INFINITY};
#pragma unroll
    for (int j = 0; j < kKeyColumns; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) most[e / 2] = scores[j][e] > most[e / 2] ? scores[j][e] : most[e / 2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float before = largest[half], here = row_max(most[half]) * gradients.scale_log2;
      largest[half] = here > before ? here : before;
      const float shrink = power_of_two(before - largest[half]);
      sum[half] *= shrink, shared[half] *= shrink;
    }
#pragma unroll
    for (int j = 0; j < kKeyColumns; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const float weight = power_of_two(fmaf(scores[j][e], gradients.scale_log2, -largest[e / 2]));
        sum[e / 2] += weight;
        if (kept.has(j, e)) shared[e / 2] = fmaf(weight, dweights[j][e], shared[e / 2]);
      }
  }
  float logarithm[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float total = row_sum(sum[half]);
    shared[half] = row_sum(shared[half]) * gradients.kept_factor / total;
    logarithm[half] = largest[half] + log2f(total);
    const int row = warp * 16 + own_row(half);
    if (lane % 4 == 0 && row < queries)
      gradients.statistics[head * heads.rows + first_query + row] = {logarithm[half], shared[half]};
  }

  float dquery[kDepth / 8][4] = {};
  for (int tile = tiles - 1; tile >= 0; --tile) {
    const KeptElements kept = exchange_kept(gradients.kept ? *kept_word(tile) : ~0u);
#pragma unroll
    for (int k = 0; k < kKeyColumns; k += 2) {
      float dscores[2][4];
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        const int j = k + e / 4, i = e % 4;
        const float p = power_of_two(fmaf(scores[j][i], gradients.scale_log2, -logarithm[i / 2]));
        const float dp = kept.has(j, i) ? dweights[j][i] : 0;
        dscores[e / 4][i] = p * fmaf(dp, gradients.kept_factor, -shared[i / 2]);
      }
      uint32_t rounded[2][2];
      round_pairs(rounded, dscores);
      multiply_columns<kDepth>(dquery, rounded, key_tile, k * 8);
    }
    if (tile == 0) break;
    load(tile - 1);
    multiply(tile - 1);
  }
#pragma unroll
  for (int half = 0; half < 2; ++half)
    if (const int row = warp * 16 + own_row(half); row < queries)
      gradients.store(dquery, half, gradients.scale, first_query + row, column, heads.size);
}

// The scores and their gradients are transposed: a row is a key. Half a tile of queries at a time leaves room
// for two sums. dV takes dO and what rounding took from it: rows of dO nearly cancel in the sums of dV.
template <int kDepth>
__global__ void __launch_bounds__(kThreads, blocks_at_once(kDepth))
    key_gradient_tile_kernel(TileGradients gradients, DeviceHeads<uint16_t> heads, DeviceSegments segments) {
  constexpr int kSteps = kDepth / 16, kSome = kTile / 2, kQueryColumns = kSome / 8;
  uint16_t* const key_tile = dynamic_shared<uint16_t>();
  uint16_t* const value_tile = key_tile + kTile * kDepth;
  uint16_t* const query_tile = value_tile + kTile * kDepth;
  uint16_t* const dcontext_tile = query_tile + kTile * kDepth;
  uint16_t* const dcontext_rest = dcontext_tile + kTile * kDepth;
  __shared__ TileStatistics statistics[kTile];
  __shared__ uint32_t kept[2][kTile];
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp;
  const int s = segments.tile_sequence[blockIdx.x], begin = segments.tile_begin[blockIdx.x];
  const int first = segments.first_row[s], first_key = first + begin, head = static_cast<int>(blockIdx.y);
  const int left = segments.rows[s] - begin, rows = left < kTile ? left : kTile;
  const int keys_left = segments.keys[s] - begin, keys = keys_left < rows ? keys_left : rows;
  const int queries = keys > 0 ? segments.rows[s] : 0;  // rows that are no keys have no gradient
  const HeadRows<uint16_t> own = heads.of(head);
  const int column = static_cast<int>(head * heads.size);
  copy_rows<kDepth>(key_tile, own.key, heads.stride, heads.size, first_key, nullptr, keys);
  copy_rows<kDepth>(value_tile, own.value, heads.stride, heads.size, first_key, nullptr, keys);

  float dkey[kDepth / 8][4] = {}, dvalue[kDepth / 8][4] = {};
  for (int first_query = 0; first_query < queries; first_query += kTile) {
    const int some = queries - first_query < kTile ? queries - first_query : kTile;
    const int first_row = first + first_query;
    __syncthreads();  // everybody has left the tiles
    copy_rows<kDepth>(query_tile, own.query, heads.stride, heads.size, first_row, nullptr, some);
    copy_rows<kDepth>(dcontext_tile, gradients.of.dcontext + column, gradients.of.context_stride, heads.size,
                      first_row, nullptr, some, dcontext_rest);
    // The rows of a tile past the last are zero: whatever their probabilities are, they add nothing.
    if (thread < kTile)
      statistics[thread] =
          thread < some ? gradients.statistics[head * heads.rows + first_row + thread] : TileStatistics{};
    const int row = thread / 2;
    kept[thread % 2][row] = gradients.kept && row < some ? gradients.kept_of(head, heads.rows, begin / kTile,
                                                                             first_row + row)[thread % 2]
                                                         : ~0u;
    finish_copies();
    if (warp * 16 >= keys) continue;

#pragma unroll 1
    for (int from = 0; from < kTile; from += kSome) {
      float scores[kQueryColumns][4] = {}, dweights[kQueryColumns][4] = {};
#pragma unroll 1
      for (int step = 0; step < kSteps; ++step) {
        uint32_t keys_or_values[4];
        load_rows<kDepth>(keys_or_values, key_tile, warp * 16, step);
        multiply_rows<kDepth>(scores, keys_or_values, query_tile, from, step);
        load_rows<kDepth>(keys_or_values, value_tile, warp * 16, step);
        multiply_rows<kDepth>(dweights, keys_or_values, dcontext_tile, from, step);
      }
#pragma unroll
      for (int j = 0; j < kQueryColumns; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int query = from + own_column(j, e), key = warp * 16 + own_row(e / 2);
          const TileStatistics of_query = statistics[query];
          const float p = power_of_two(fmaf(scores[j][e], gradients.scale_log2, -of_query.logarithm));
          const bool keeps = kept[key / 4 % 2][query] >> (key / 8 * 4 + key % 4) & 1;
          scores[j][e] = keeps ? p : 0;
          const float dp = keeps ? dweights[j][e] : 0;
          dweights[j][e] = p * fmaf(dp, gradients.kept_factor, -of_query.shared);
        }
      uint32_t rounded[kQueryColumns][2];
      round_pairs(rounded, scores);
      multiply_columns<kDepth>(dvalue, rounded, dcontext_tile, from);
      multiply_columns<kDepth>(dvalue, rounded, dcontext_rest, from);
      round_pairs(rounded, dweights);
      multiply_columns<kDepth>(dkey, rounded, query_tile, from);
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half)
    if (const int row = warp * 16 + own_row(half); row < rows) {
      const int hidden = static_cast<int>(gradients.of.hidden);
      if (row >= keys)  // no key: its scores of 0 may have overflowed beside those of the keys
#pragma unroll
        for (int j = 0; j < kDepth / 8; ++j)
#pragma unroll
          for (int e = 2 * half; e < 2 * half + 2; ++e) dkey[j][e] = dvalue[j][e] = 0;
      gradients.store(dkey, half, gradients.scale, first_key + row, hidden + column, heads.size);
      gradients.store(dvalue, half, gradients.kept_factor, first_key + row, 2 * hidden + column, heads.size);
    }
}

template <int kDepth>
void launch_tiles(const TileGradients& gradients, const DeviceHeads<uint16_t>& heads, int64_t head_count,
                  const DeviceSegments& segments, const Dropout& dropout, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(segments.tiles), static_cast<unsigned>(head_count));
  launch(query_gradient_tile_kernel<kDepth>, grid, kThreads, 4 * tile_bytes<kDepth>(), stream, gradients,
         heads, segments, dropout);
  launch(key_gradient_tile_kernel<kDepth>, grid, kThreads, 5 * tile_bytes<kDepth>(), stream, gradients, heads,
         segments);
}

}  // namespace

void CudaBackend::attention_backward(float* dqkv, const float* dcontext, const Heads& heads,
                                     const Segments& segments, const Dropout& dropout) {
  Operation operation(memory_);
  const DeviceSegments& on_gpu = segments_on_device(segments, operation);
  const int64_t hidden = heads.heads * heads.size, rows = segments.rows();
  AttentionGradients gradients{};
  gradients.stride = row_stride(3 * hidden);
  gradients.context_stride = row_stride(hidden);
  gradients.hidden = hidden;
  gradients.dqkv = operation.out(dqkv, gradients.stride, 3 * hidden, rows);
  gradients.dcontext = operation.in(dcontext, gradients.context_stride, hidden, rows);
  const cudaStream_t stream = operation.stream();
  const float scale = score_scale(heads);
  if (heads.precision == Precision::kBf16) {
    const DeviceHeads<uint16_t> from = on_device<uint16_t>(heads, rows, operation);
    TileGradients tiles{};
    tiles.of = gradients;
    const bool whole = 3 * hidden % kTile == 0 && heads.size % kTileChunk == 0;
    if (whole && memory_.is_device(dqkv)) tiles.dqkv = memory_.keep_rounded(dqkv, 3 * hidden, rows, true);
    tiles.statistics = operation.scratch<TileStatistics>(heads.heads * rows);
    tiles.key_tiles = divide_up(on_gpu.most_keys, kTile);
    if (dropout.probability > 0)
      tiles.kept = operation.scratch<uint32_t>(heads.heads * tiles.key_tiles * rows * 2);
    tiles.kept_factor = kept_scale(dropout);
    tiles.scale = scale;
    tiles.scale_log2 = scale * kLog2E;
    const auto start = heads.size <= 32   ? launch_tiles<32>
                       : heads.size <= 64 ? launch_tiles<64>
                                          : launch_tiles<128>;
    start(tiles, from, heads.heads, on_gpu, dropout, stream);
  } else {
    const DeviceHeads<float> from = on_device<float>(heads, rows, operation);
    QueryStatistics* const statistics = operation.scratch<QueryStatistics>(heads.heads * rows);
    // Not every GPU has shared memory for tiles of 128.
    const bool has_room = heads.size <= 64 || key_gradient_bytes<128>() <= gpu_.shared_bytes;
    const auto start = heads.size > kMostTileDepth || !has_room ? launch_warps
                       : heads.size <= 32                       ? launch_float_tiles<32>
                       : heads.size <= 64                       ? launch_float_tiles<64>
                                                                : launch_float_tiles<128>;
    start({gradients, statistics, kept_scale(dropout), scale}, from, heads.heads, on_gpu, dropout, stream);
  }
  operation.finish();
}

}  // namespace albert::cuda
