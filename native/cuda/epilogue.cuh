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

// A store has `Value`, what two neighbouring sums become by pair(bias, low, high), of which bias_of(column)
// is asked long before; and chunk(row, column, values, before): `column` is a multiple of kChunk<Value>, and
// so many values follow, some perhaps past the matrix. What a chunk is combined with, `Before`, is read early
// by before(row, column).
template <typename Value>
constexpr int kChunk = 16 / static_cast<int>(sizeof(Value));
struct Nothing {};
struct Half {
  uint16_t bits;
};
__device__ inline void store_pair(float* to, float low, float high) {
  *reinterpret_cast<float2*>(to) = {low, high};
}
__device__ inline void store_pair(uint16_t* to, float low, float high) {
  *reinterpret_cast<uint32_t*>(to) = pack_bf16(low, high);
}
__device__ inline void store_pair(Half* to, float low, float high) {
  *reinterpret_cast<uint32_t*>(to) = pack_f16(low, high);
}

__device__ inline float2 pair_of(const float* bias) { return *reinterpret_cast<const float2*>(bias); }
__device__ inline void add_pair(float2 bias, float& low, float& high) {
  low += bias.x;
  high += bias.y;
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

  __device__ bool is_whole(int column) const { return aligned && column + 4 <= out; }
  __device__ float2 bias_of(int column) const { return bias ? pair_of(bias + column) : float2{0, 0}; }
  __device__ void pair(float2 of_bias, float& low, float& high) const {
    add_pair(of_bias, low, high);
    low = activate(kActivation, low);
    high = activate(kActivation, high);
  }
  using Before = std::conditional_t<kAccumulate, float4, Nothing>;
  __device__ Before before(int row, int column) const {
    Before values{};
    if constexpr (kAccumulate) {
      const float* const from = y + row * stride + column;
      if (is_whole(column)) return *reinterpret_cast<const float4*>(from);
      values.x = from[0];
      if (column + 1 < out) values.y = from[1];
      if (column + 2 < out) values.z = from[2];
      if (column + 3 < out) values.w = from[3];
    }
    return values;
  }
  __device__ void chunk(int row, int column, float4 values, const Before& before) const {
    if constexpr (kAccumulate)
      values.x += before.x, values.y += before.y, values.z += before.z, values.w += before.w;
    float* const to = y + row * stride + column;
    if (is_whole(column)) {
      *reinterpret_cast<float4*>(to) = values;
      return;
    }
    const float each[4] = {values.x, values.y, values.z, values.w};
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (column + i < out) to[i] = each[i];
  }
};

// The same as a factor of the next product, zero past `out`.
template <Activation kActivation>
struct StoreTiles {
  using Value = uint16_t;
  Tiles y;
  const float* bias;

  __device__ float2 bias_of(int column) const { return pair_of(bias + column); }
  __device__ void pair(float2 of_bias, float& low, float& high) const {
    add_pair(of_bias, low, high);
    low = activate_briefly(kActivation, low).value;
    high = activate_briefly(kActivation, high).value;
  }
  using Before = Nothing;
  __device__ Before before(int, int) const { return {}; }
  __device__ void chunk(int row, int column, const uint4& values, Before) const {
    *reinterpret_cast<uint4*>(y.at(row, column)) = values;
  }
};

// What an activation was given, for its gradient: fp16, in the first half of each row of an fp32 matrix. It
// has eight times the digits of bf16.
struct HalfRows {
  float* rows;  // [rows, stride]
  int64_t stride;

  __device__ uint16_t* at(int row, int column) const {
    return reinterpret_cast<uint16_t*>(rows + row * stride) + column;
  }
};
struct StoreHalves {
  using Value = Half;
  HalfRows y;
  const float* bias;

  __device__ float2 bias_of(int column) const { return pair_of(bias + column); }
  __device__ void pair(float2 of_bias, float& low, float& high) const { add_pair(of_bias, low, high); }
  using Before = Nothing;
  __device__ Before before(int, int) const { return {}; }
  __device__ void chunk(int row, int column, const uint4& values, Before) const {
    *reinterpret_cast<uint4*>(y.at(row, column)) = values;
  }
};

// y = activation(sum + bias), and what the activation was given.
template <Activation kActivation>
struct StoreActivation {
  StoreHalves sum;
  StoreTiles<kActivation> y;
};

// body(store) for each of them.
template <typename Store, typename Body>
__device__ void for_stores(const Store& store, const Body& body) {
  body(store);
}
template <Activation kActivation, typename Body>
__device__ void for_stores(const StoreActivation<kActivation>& both, const Body& body) {
  body(both.sum);
  body(both.y);
}

// The gradient dx = sum activation'(x), and y = activation(x) again: factors of the products that follow.
template <Activation kActivation>
struct StoreActivationGradient {
  using Value = float;
  Tiles dx, y;
  HalfRows x;

  __device__ float2 bias_of(int) const { return {0, 0}; }
  __device__ void pair(float2, float&, float&) const {}
  using Before = uint2;
  __device__ Before before(int row, int column) const {
    return *reinterpret_cast<const uint2*>(x.at(row, column));
  }
  __device__ void chunk(int row, int column, const float4& values, const Before& before) const {
    const float2 first = unpack_f16(before.x), second = unpack_f16(before.y);
    const Activated a = activate_briefly(kActivation, first.x), b = activate_briefly(kActivation, first.y),
                    c = activate_briefly(kActivation, second.x), d = activate_briefly(kActivation, second.y);
    *reinterpret_cast<uint2*>(dx.at(row, column)) = {pack_bf16(values.x * a.slope, values.y * b.slope),
                                                     pack_bf16(values.z * c.slope, values.w * d.slope)};
    *reinterpret_cast<uint2*>(y.at(row, column)) = {pack_bf16(a.value, b.value), pack_bf16(c.value, d.value)};
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
  __device__ float2 bias_of(int column) const { return pair_of(bias + column); }
  __device__ void pair(float2 of_bias, float& low, float& high) const { add_pair(of_bias, low, high); }
  using Before = Nothing;
  __device__ Before before(int, int) const { return {}; }
  template <typename Chunk>
  __device__ void chunk(int row, int column, const Chunk& values, Before) const {
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
    float2 bias[kGroup / 8] = {};
#pragma unroll
    for (int j = 0; j < kGroup / 8; ++j)
      if (const int column = first_column + j * 8 + lane % 4 * 2; decltype(whole)::value || column < out)
        bias[j] = store.bias_of(column);
#pragma unroll
    for (int j = 0; j < kGroup / 8; ++j) {
      const int within = j * 8 + lane % 4 * 2;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float* const pair = sums + 4 * (group * kGroup / 8 + j) + 2 * half;
        float low = pair[0], high = pair[1];
        store.pair(bias[j], low, high);
        store_pair(staging + place(lane / 4 + 8 * half, within / kValues) + within % kValues, low, high);
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
  constexpr int kTurns = 16 / kRows;  // of the warp, past a group
#pragma unroll
  for (int group = 0; group < kColumns / kGroup; ++group) {
    const int group_column = first_column + group * kGroup, column = group_column + chunk * kValues;
    const auto for_chunks = [&](const auto& body) {
#pragma unroll
      for (int turn = 0; turn < kTurns; ++turn)
        if (const int row = turn * kRows + lane / kChunks; first_row + row < rows && column < out)
          body(turn, row);
    };
    typename Store::Before before[kTurns] = {};
    for_chunks([&](int turn, int row) { before[turn] = store.before(first_row + row, column); });
    stage_group<kGroup, kColumns>(staging, sums, group, group_column, out, store, place);
    __syncwarp();
    for_chunks([&](int turn, int row) {
      store.chunk(first_row + row, column, *reinterpret_cast<const Chunk*>(staging + place(row, chunk)),
                  before[turn]);
    });
    __syncwarp();
  }
}
}  // namespace albert::cuda
