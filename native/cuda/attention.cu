// Attention over packed sequences: by tiles of queries and keys, for bf16 on the tensor cores, or one query
// to a warp, for large heads and where probabilities are wanted. No matrix of scores reaches the GPU's
// memory.
#include "cuda/attention_bf16.cuh"
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
    float* const to = probabilities + gridDim.y * segments.probability_begin[s] + within * keys;
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

}  // namespace

Precision CudaBackend::training_heads(Precision products, int64_t head_size) const {
  return products == Precision::kBf16 && head_size <= kMostTileDepth ? Precision::kBf16 : Precision::kFp32;
}

void CudaBackend::attention_forward(float* context, float* probabilities, const Heads& heads,
                                    const Segments& segments, const Dropout& dropout) {
  Operation operation(memory_);
  const DeviceSegments& on_gpu = segments_on_device(segments, operation);
  const int64_t hidden = heads.heads * heads.size, stride = row_stride(hidden), rows = segments.rows();
  float* const to = operation.out(context, stride, hidden, on_gpu.total_queries);
  const int64_t values = heads.heads * on_gpu.probabilities;
  float* const to_probabilities = operation.out(probabilities, values, values, 1);
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
    const ContextPlace place{only ? nullptr : to, stride, rounded};
    const auto start = [&](auto kernel, int threads, size_t bytes) {
      launch_early(kernel, tiles, threads, bytes, stream, place, from, on_gpu, dropout, kept_scale(dropout),
                   scale * kLog2E);
    };
    of_depth([&](auto depth) {
      constexpr int kDepth = decltype(depth)::value;
      const bool drops = dropout.probability > 0;
      if (kDepth == kTile && gpu_.has_warpgroups)
        start(drops ? attention_hopper_kernel<true> : attention_hopper_kernel<false>, kHopperThreads,
              kHopperSharedBytes);
      else
        start(drops ? attention_mma_kernel<kDepth, true> : attention_mma_kernel<kDepth, false>, kThreads,
              5 * tile_bytes<kDepth>());
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
