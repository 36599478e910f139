// What happens to the sums of a product: the values they become, and how a warp writes them in whole chunks
// of 16 bytes.
#pragma once

#include <type_traits>

#include "cuda/common.cuh"
#include "cuda/tiles.cuh"

namespace albert::cuda {

// What the blocks of a product work on: neighbours share the rows of x.
struct ProductWork {
  int rows, out;     // of the result
  int depth;         // in tiles
  int across, down;  // tiles of the result
  int splits;        // parts of the depth, whose results lie below one another

  __host__ __device__ int count() const { return across * down * splits; }
  // Of a part of the depth, in tiles.
  __device__ int begin(int split) const { return depth * split / splits; }
};

// A store has `Value`, what two neighbouring sums become by pair(column, low, high), and chunk(row, column,
// values): `column` is a multiple of kChunk<Value>, and so many values follow, some perhaps past the matrix.
template <typename Value>
constexpr int kChunk = 16 / static_cast<int>(sizeof(Value));

__device__ inline void add_pair(const float* bias, float& low, float& high) {
  const float2 both = *reinterpret_cast<const float2*>(bias);
  low += both.x;
  high += both.y;
}

// y = activation(sum + bias), or y += sum + bias.
template <Activation kActivation, bool kAccumulate>
struct StoreRows {
  using Value = float;
  float* y;           // [rows, stride]
  const float* bias;  // [out, rounded up to a tile], or null
  int64_t stride;
  int out;
  bool aligned;  // rows start on 16 bytes

  StoreRows(float* y, int64_t stride, const float* bias, int64_t out)
      : y(y),
        bias(bias),
        stride(stride),
        out(static_cast<int>(out)),
        aligned(stride % 4 == 0 && reinterpret_cast<uintptr_t>(y) % 16 == 0) {}

  __device__ void pair(int column, float& low, float& high) const {
    if (bias) add_pair(bias + column, low, high);
    low = activate(kActivation, low);
    high = activate(kActivation, high);
  }
  __device__ void chunk(int row, int column, const float4& values) const {
    float* const to = y + row * stride + column;
    if (aligned && column + 4 <= out) {
      float4 sums = values;
      if (kAccumulate) {
        const float4 before = *reinterpret_cast<const float4*>(to);
        sums.x += before.x, sums.y += before.y, sums.z += before.z, sums.w += before.w;
      }
      *reinterpret_cast<float4*>(to) = sums;
      return;
    }
    const float each[4] = {values.x, values.y, values.z, values.w};
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (column + i < out) to[i] = kAccumulate ? to[i] + each[i] : each[i];
  }
};

// The same as a factor of the next product, zero past `out`.
template <Activation kActivation>
struct StoreTiles {
  using Value = uint16_t;
  Tiles y;
  const float* bias;

  __device__ void pair(int column, float& low, float& high) const {
    add_pair(bias + column, low, high);
    low = activate_briefly(kActivation, low);
    high = activate_briefly(kActivation, high);
  }
  __device__ void chunk(int row, int column, const uint4& values) const {
    *reinterpret_cast<uint4*>(y.at(row, column)) = values;
  }
};

// Query, key and value, head by head.
template <typename T>
struct StoreHeads {
  using Value = T;
  T *query, *key, *value_rows;  // [A, rows, stride]
  const float* bias;            // [3H, rounded up to a tile]
  int64_t rows, stride;
  int size, heads;
  float inverse_size;

  // Exact: a column is below 2^20, and its quotient at least 1 / (2 size) from the next whole number.
  __device__ int head_of(int column) const {
    return static_cast<int>((static_cast<float>(column) + 0.5f) * inverse_size);
  }
  __device__ T* at(int row, int column) const {
    const int head = head_of(column), part = (head >= heads) + (head >= 2 * heads);
    T* const matrix = part == 0 ? query : part == 1 ? key : value_rows;
    return matrix + ((head - part * heads) * rows + row) * stride + (column - head * size);
  }
  __device__ void pair(int column, float& low, float& high) const { add_pair(bias + column, low, high); }
  template <typename Chunk>
  __device__ void chunk(int row, int column, const Chunk& values) const {
    constexpr int kValues = kChunk<T>;
    const int out = 3 * heads * size;
    if (size % kValues == 0) {  // then a chunk is of one head, and a row of it starts on 16 bytes
      if (column < out) *reinterpret_cast<Chunk*>(at(row, column)) = values;
      return;
    }
    T each[kValues];
    memcpy(each, &values, sizeof each);
#pragma unroll
    for (int i = 0; i < kValues; ++i)
      if (column + i < out) *at(row, column + i) = each[i];
  }
};

// Bytes of shared memory that a warp needs for store_strip().
constexpr int kStagingBytes = 16 * 64 * static_cast<int>(sizeof(float));

// What a strip of sums becomes, kGroup columns of it from `group` on, in shared memory: a strip is 16 rows of
// kColumns sums as a warp's tensor cores leave them. Of columns 8 j + 2 (l % 4) and the next, lane l has row
// l / 4 in sums[4 j] and [4 j + 1], and the row 8 below in the following two. place(row, chunk) is where a
// chunk of the group lies.
template <int kGroup, int kColumns, typename Store, typename Place>
__device__ void stage_group(typename Store::Value* staging, const float (&sums)[kColumns / 2], int group,
                            int first_column, int out, const Store& store, const Place& place) {
  constexpr int kValues = kChunk<typename Store::Value>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const auto stage = [&](auto whole) {
#pragma unroll
    for (int j = 0; j < kGroup / 8; ++j) {
      const int within = j * 8 + lane % 4 * 2, column = first_column + within;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float* const pair = sums + 4 * (group * kGroup / 8 + j) + 2 * half;
        float low = pair[0], high = pair[1];
        if (decltype(whole)::value || column < out) store.pair(column, low, high);
        auto* const to = staging + place(lane / 4 + 8 * half, within / kValues) + within % kValues;
        if constexpr (kValues == 4)
          *reinterpret_cast<float2*>(to) = {low, high};
        else
          *reinterpret_cast<uint32_t*>(to) = pack_bf16(low, high);
      }
    }
  };
  first_column + kGroup <= out ? stage(std::true_type{}) : stage(std::false_type{});
}

// Stores a strip past shared memory, so that the warp writes whole chunks of neighbouring addresses. `out` is
// the first column that is not stored.
template <int kColumns, typename Store>
__device__ void store_strip(const float (&sums)[kColumns / 2], int first_row, int first_column, int rows,
                            int out, unsigned char* memory, const Store& store) {
  using Value = typename Store::Value;
  using Chunk = std::conditional_t<std::is_same_v<Value, float>, float4, uint4>;
  constexpr int kGroup = kColumns < 64 ? kColumns : 64;  // columns at a time
  constexpr int kValues = kChunk<Value>, kChunks = kGroup / kValues, kRows = kWarp / kChunks;
  constexpr int kRowBytes = kGroup * static_cast<int>(sizeof(Value));
  constexpr int kRowsOfBanks = kRowBytes < 128 ? 128 / kRowBytes : 1;
  constexpr int kPairs = kValues == 4 ? 2 : 1;  // chunks that a quad of lanes writes
  Value* const staging = reinterpret_cast<Value*>(memory);
  // Chunks of a row change places with its number, so that rows lie in different banks.
  const auto place = [](int row, int chunk) {
    return row * kGroup + (chunk ^ (row / kRowsOfBanks * kPairs % kChunks)) * kValues;
  };
  const int lane = static_cast<int>(threadIdx.x) % kWarp, chunk = lane % kChunks;
#pragma unroll
  for (int group = 0; group < kColumns / kGroup; ++group) {
    const int group_column = first_column + group * kGroup, column = group_column + chunk * kValues;
    stage_group<kGroup, kColumns>(staging, sums, group, group_column, out, store, place);
    __syncwarp();
#pragma unroll
    for (int row = lane / kChunks; row < 16; row += kRows)
      if (first_row + row < rows && column < out)
        store.chunk(first_row + row, column, *reinterpret_cast<const Chunk*>(staging + place(row, chunk)));
    __syncwarp();
  }
}

}  // namespace albert::cuda
