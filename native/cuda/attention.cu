// Attention over packed sequences: by tiles of queries and keys, for bf16 on the tensor cores, or one query
// to a warp, for large heads and where probabilities are wanted. No matrix of scores reaches the GPU's
// memory.
#include "cuda/attention_fp32.cuh"

namespace albert::cuda {
namespace {

using namespace attention;

// ---- a warp for each query of each head

template <typename T>
__global__ void __launch_bounds__(kThreads)
    attention_kernel(float* context, int64_t context_stride, float* probabilities, DeviceHeads<T> heads,
                     DeviceSegments segments, Dropout dropout, float scale) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t query = int64_t{blockIdx.x} * kWarps + warp, head = blockIdx.y;
  if (query >= segments.total_queries) return;
  float* const scores = dynamic_shared<float>() + warp * segments.most_keys;
  const int s = segments.sequence_of[query], keys = segments.keys[s];
  const int64_t row = segments.query_row[query], first = segments.first_row[s];
  const HeadRows<T> own = heads.of(head);
  for (int k = lane; k < keys; k += kWarp)
    scores[k] = scale * dot(own.query + row * heads.stride, own.key + (first + k) * heads.stride, heads.size);
  softmax(scores, keys);
  if (probabilities) {
    const int64_t queries = segments.first_query[s + 1] - segments.first_query[s];
    const int64_t within = head * queries + query - segments.first_query[s];
    float* const to = probabilities + segments.probability_begin[s] + within * keys;
    for (int k = lane; k < keys; k += kWarp) to[k] = scores[k];
  }
  if (dropout.probability > 0)
    for (int k = lane; k < keys; k += kWarp) scores[k] *= keep_factor(dropout, head * heads.rows + row, k);
  __syncwarp();
  for (int64_t d = lane; d < heads.size; d += kWarp) {
    float sum = 0;
    for (int k = 0; k < keys; ++k)
      sum = fmaf(scores[k], value_of(own.value[(first + k) * heads.stride + d]), sum);
    context[query * context_stride + head * heads.size + d] = sum;
  }
}

// ---- on the tensor cores: a block takes a tile of a head's queries past its keys, a tile at a time, with
// the running maximum and sum of Milakov and Gimelshein 2018 (arXiv 1805.02867)

// Of a multiprocessor, by the registers of a sum and a tile of scores.
constexpr int blocks_at_once(int depth) { return depth <= 64 ? 4 : 2; }

template <int kDepth, bool kDrops>
__global__ void __launch_bounds__(kThreads, blocks_at_once(kDepth))
    attention_tile_kernel(float* context, int64_t context_stride, Tiles rounded, DeviceHeads<uint16_t> heads,
                          DeviceSegments segments, Dropout dropout, float kept_factor, float scale_log2) {
  constexpr int kColumns = kDepth / 8, kKeyColumns = kTile / 8;
  follow_previous();
  uint16_t* const query_tile = dynamic_shared<uint16_t>();
  uint16_t* const stages = query_tile + kTile * kDepth;  // two pairs of a key tile and a value tile
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int s = segments.tile_sequence[blockIdx.x], begin = segments.tile_begin[blockIdx.x];
  const int64_t first_query = segments.first_query[s] + begin, head = blockIdx.y;
  const int64_t left = segments.first_query[s + 1] - first_query;
  const int queries = left < kTile ? static_cast<int>(left) : kTile, keys = segments.keys[s];
  const int first_row = segments.first_row[s];
  const int32_t* const query_row = segments.query_row + first_query;
  const HeadRows<uint16_t> own = heads.of(head);

  const auto stage_of = [&](int first_key) { return stages + first_key / kTile % 2 * 2 * kTile * kDepth; };
  const auto copy_stage = [&](int first_key) {
    if (first_key < keys) {
      const int some = keys - first_key < kTile ? keys - first_key : kTile;
      uint16_t* const stage = stage_of(first_key);
      copy_rows<kDepth>(stage, own.key, heads.stride, heads.size, first_row + first_key, nullptr, some);
      copy_rows<kDepth>(stage + kTile * kDepth, own.value, heads.stride, heads.size, first_row + first_key,
                        nullptr, some);
    }
    commit_copies();
  };
  copy_rows<kDepth>(query_tile, own.query, heads.stride, heads.size, 0, query_row, queries);
  copy_stage(0);
  const int64_t dropout_row = head * heads.rows + query_row[drawn_row(warp * 16, queries)];

  // Of this lane's two rows, in powers of two.
  float largest[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
  float result[kColumns][4] = {};
  for (int first_key = 0; first_key < keys; first_key += kTile) {
    const int some = keys - first_key < kTile ? keys - first_key : kTile;
    copy_stage(first_key + kTile);
    wait_for_copies<1>();
    __syncthreads();  // the stage is complete
    const uint16_t* const key_tile = stage_of(first_key);
    const uint16_t* const value_tile = key_tile + kTile * kDepth;
    if (warp * 16 < queries) {
      float scores[kKeyColumns][4] = {};
#pragma unroll 1
      for (int step = 0; step < kDepth / 16; ++step) {
        uint32_t rows[4];
        load_rows<kDepth>(rows, query_tile, warp * 16, step);
        multiply_rows<kDepth>(scores, rows, key_tile, 0, step);
      }

      float most[2] = {-INFINITY, -INFINITY};
#pragma unroll
      for (int j = 0; j < kKeyColumns; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          if (some < kTile && own_column(j, e) >= some) scores[j][e] = -INFINITY;
          most[e / 2] = scores[j][e] > most[e / 2] ? scores[j][e] : most[e / 2];
        }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float before = largest[half], here = row_max(most[half]) * scale_log2;
        largest[half] = here > before ? here : before;
        const float shrink = power_of_two(before - largest[half]);
        sum[half] *= shrink;
#pragma unroll
        for (int j = 0; j < kColumns; ++j) result[j][2 * half] *= shrink, result[j][2 * half + 1] *= shrink;
      }
#pragma unroll
      for (int j = 0; j < kKeyColumns; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          scores[j][e] = power_of_two(fmaf(scores[j][e], scale_log2, -largest[e / 2]));
      KeptElements kept{};
      if constexpr (kDrops) kept = exchange_kept(draw_kept(dropout, dropout_row, first_key));
        // The sum is that of the rounded weights, so that what multiplies the values adds up to one: values
        // have much in common.
#pragma unroll
      for (int k = 0; k < kKeyColumns; k += 2) {
        uint32_t weights[2][2];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float(&of)[4] = scores[k + i / 2];
          const int half = i % 2;
          const uint32_t pair = pack_bf16(of[2 * half], of[2 * half + 1]);
          sum[half] += low_bf16(pair) + high_bf16(pair);
          weights[i / 2][half] = kDrops ? pair & kept.mask(k + i / 2, half) : pair;
        }
        multiply_columns<kDepth>(result, weights, value_tile, k * 8);
      }
    }
    __syncthreads();  // everybody has left the stage
  }
  wait_for_copies<0>();
  __syncthreads();  // the tile of queries, too, has arrived where no key has been waited for

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float total = row_sum(sum[half]), factor = keys > 0 ? kept_factor / total : 0;
    const int row = warp * 16 + own_row(half);
    if (context && row < queries)
      store_row(context + (first_query + row) * context_stride + head * heads.size, result, half, factor,
                heads.size);
    // The rows of queries that this warp has read make room for their rounded result.
    if (rounded.values)
#pragma unroll
      for (int j = 0; j < kColumns; ++j)
        *reinterpret_cast<uint32_t*>(query_tile + swizzled<kDepth>(row, j) + own_column(0, 0)) =
            pack_bf16(result[j][2 * half] * factor, result[j][2 * half + 1] * factor);
  }
  if (!rounded.values) return;
  __syncwarp();
  constexpr int kChunks = kDepth / kTileChunk;
  for (int i = static_cast<int>(threadIdx.x) % kWarp; i < 16 * kChunks; i += kWarp) {
    const int row = warp * 16 + i / kChunks, chunk = i % kChunks;
    if (row < queries && chunk * kTileChunk < heads.size)
      *reinterpret_cast<uint4*>(rounded.at(first_query + row, head * heads.size + chunk * kTileChunk)) =
          *reinterpret_cast<const uint4*>(query_tile + swizzled<kDepth>(row, chunk));
  }
}

}  // namespace

Precision CudaBackend::training_heads(Precision products, int64_t head_size) const {
  return products == Precision::kBf16 && head_size <= kMostTileDepth ? Precision::kBf16 : Precision::kFp32;
}

void CudaBackend::attention_forward(float* context, float* probabilities, const Heads& heads,
                                    const Segments& segments, const Dropout& dropout) {
  Operation operation(memory_);
  const DeviceSegments& on_gpu = segments_on_device(segments, heads.heads, operation);
  const int64_t hidden = heads.heads * heads.size, stride = row_stride(hidden), rows = segments.rows();
  float* const to = operation.out(context, stride, hidden, on_gpu.total_queries);
  float* const to_probabilities = operation.out(probabilities, on_gpu.probabilities, on_gpu.probabilities, 1);
  const cudaStream_t stream = operation.stream();
  const float scale = score_scale(heads);
  const auto by_query = [&](auto value) {
    using T = decltype(value);
    launch(attention_kernel<T>, warps_of(on_gpu.total_queries, heads.heads), kThreads,
           kWarps * static_cast<size_t>(on_gpu.most_keys) * sizeof(float), stream, to, stride,
           to_probabilities, on_device<T>(heads, rows, operation), on_gpu, dropout, scale);
  };
  const auto of_depth = [&](const auto& start) {  // of a tile, that of a head made up to it
    if (heads.size <= 32)
      start(std::integral_constant<int, 32>{});
    else if (heads.size <= 64)
      start(std::integral_constant<int, 64>{});
    else
      start(std::integral_constant<int, 128>{});
  };
  const dim3 tiles(static_cast<unsigned>(on_gpu.tiles), static_cast<unsigned>(heads.heads));
  const auto by_fp32_tile = [&] {
    const DeviceHeads<float> from = on_device<float>(heads, rows, operation);
    of_depth([&](auto depth) {
      constexpr int kDepth = decltype(depth)::value;
      const auto start = [&](auto kernel) {
        launch(kernel, tiles, kGridThreads, float_tiles_bytes<kDepth>(), stream, to, stride, from, on_gpu,
               dropout, kept_scale(dropout), scale);
      };
      dropout.probability > 0 ? start(attention_fp32_kernel<kDepth, true>)
                              : start(attention_fp32_kernel<kDepth, false>);
    });
  };
  const auto by_tile = [&] {
    const DeviceHeads<uint16_t> from = on_device<uint16_t>(heads, rows, operation);
    // For the product that follows: whole chunks, and no rest of a tile to clear.
    const bool whole = hidden % kTile == 0 && heads.size % kTileChunk == 0;
    const bool only = whole && memory_.is_device(context);
    const Tiles rounded = whole ? memory_.keep_rounded(to, hidden, on_gpu.total_queries, only) : Tiles{};
    const auto start = [&](auto kernel, size_t bytes) {
      launch_early(kernel, tiles, kThreads, 5 * bytes, stream, only ? nullptr : to, stride, rounded, from,
                   on_gpu, dropout, kept_scale(dropout), scale * kLog2E);
    };
    of_depth([&](auto depth) {
      constexpr int kDepth = decltype(depth)::value;
      dropout.probability > 0 ? start(attention_tile_kernel<kDepth, true>, tile_bytes<kDepth>())
                              : start(attention_tile_kernel<kDepth, false>, tile_bytes<kDepth>());
    });
  };
  const bool exact = heads.precision == Precision::kFp32;
  if (probabilities || heads.size > kMostTileDepth)
    exact ? by_query(float{}) : by_query(uint16_t{});
  else
    exact ? by_fp32_tile() : by_tile();
  operation.finish();
}

}  // namespace albert::cuda
