// What the sums of a product become, and where they go.
#pragma once

#include <type_traits>

#include "cuda/common.cuh"
#include "cuda/tiles.cuh"

namespace albert::cuda {

// How two neighbouring sums are held, with their bias, until they are stored.
struct HeldRows {
  using Pair = float2;
  __device__ static Pair hold(float2 bias, float low, float high) { return {low + bias.x, high + bias.y}; }
};
struct HeldBf16 {
  using Pair = uint32_t;
  __device__ static Pair hold(float2 bias, float low, float high) {
    return pack_bf16(low + bias.x, high + bias.y);
  }
};
// Its eight times finer steps leave room for an activation.
struct HeldF16 {
  using Pair = uint32_t;
  __device__ static Pair hold(float2 bias, float low, float high) {
    return pack_f16(low + bias.x, high + bias.y);
  }
};

// Times what the store prepared there before, two values of fp16.
struct HeldProduct {
  using Pair = uint32_t;
  __device__ static Pair hold(uint32_t prepared, float low, float high) {
    const float2 factors = unpack_f16(prepared);
    return pack_bf16(low * factors.x, high * factors.y);
  }
};

// A store names how sums are `Held`, and has their `bias`, rounded up to a whole tile, or null. It gets them
// by chunks of 16 bytes from a multiple of kChunk<Store> columns on, some perhaps past the matrix:
// - fp32, by chunk(row, column, held, before). What they are combined with, `Before`, is read early by
//   before(row, column).
// - 16 bits, by chunk(row, column, held). Where `y` is of tiles, chunk() returns what belongs there, and
//   whoever calls it puts it there; with kHeldIsResult that is what is held.
// - HeldProduct, the same, and before that prepare(row, column, input) makes the factors of a chunk from what
//   input(row, column) read.
template <typename Store>
constexpr bool kHoldsRows = std::is_same_v<typename Store::Held, HeldRows>;
template <typename Store>
constexpr bool kPrepares = std::is_same_v<typename Store::Held, HeldProduct>;
template <typename Store>
using ValueOf = std::conditional_t<kHoldsRows<Store>, float, uint16_t>;
template <typename Store>
using ChunkOf = std::conditional_t<kHoldsRows<Store>, float4, uint4>;
template <typename Store, typename = void>
constexpr bool kStoresTiles = false;
template <typename Store>
constexpr bool kStoresTiles<Store, std::enable_if_t<std::is_same_v<decltype(Store::y), Tiles>>> = true;
template <typename Store>
constexpr int kChunk = 16 / static_cast<int>(sizeof(ValueOf<Store>));
struct Nothing {};

// y = activation(sum + bias), or y += sum + bias.
template <Activation kActivation, bool kAccumulate>
struct StoreRows {
  using Held = HeldRows;
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
    values = {activate(kActivation, values.x), activate(kActivation, values.y),
              activate(kActivation, values.z), activate(kActivation, values.w)};
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

// A factor of the next product: y = sum + bias, zero past `out`.
struct StoreTiles {
  using Held = HeldBf16;
  static constexpr bool kHeldIsResult = true;
  Tiles y;
  const float* bias;

  __device__ uint4 chunk(int, int, const uint4& held) const { return held; }
};

// activation(x) of a chunk.
template <Activation kActivation>
__device__ uint4 activated(const uint4& held) {
  const uint32_t pairs[4] = {held.x, held.y, held.z, held.w};
  uint32_t results[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 x = unpack_f16(pairs[i]);
    results[i] =
        pack_bf16(activate_briefly(kActivation, x.x).value, activate_briefly(kActivation, x.y).value);
  }
  return {results[0], results[1], results[2], results[3]};
}

// y = activation(sum + bias).
template <Activation kActivation>
struct StoreActivated {
  using Held = HeldF16;
  static constexpr bool kHeldIsResult = false;
  Tiles y;
  const float* bias;

  __device__ uint4 chunk(int, int, const uint4& held) const { return activated<kActivation>(held); }
};

// What an activation was given, for its gradient: fp16, in the first half of each row of an fp32 matrix.
struct HalfRows {
  float* rows;  // [rows, stride]
  int64_t stride;

  __device__ uint4* at(int row, int column) const {
    return reinterpret_cast<uint4*>(reinterpret_cast<uint16_t*>(rows + row * stride) + column);
  }
};

// y = activation(sum + bias), and what the activation was given.
template <Activation kActivation>
struct StoreActivation {
  using Held = HeldF16;
  static constexpr bool kHeldIsResult = false;
  HalfRows sum;
  Tiles y;
  const float* bias;

  __device__ uint4 chunk(int row, int column, const uint4& held) const {
    *sum.at(row, column) = held;
    return activated<kActivation>(held);
  }
};

// The gradient y = sum activation'(x), and activation(x) again: factors of the products that follow.
template <Activation kActivation>
struct StoreActivationGradient {
  using Held = HeldProduct;
  static constexpr bool kHeldIsResult = true;
  Tiles y, activated;
  HalfRows x;
  static constexpr const float* bias = nullptr;

  __device__ uint4 input(int row, int column) const { return *x.at(row, column); }
  __device__ uint4 prepare(int row, int column, const uint4& input) const {
    const uint32_t pairs[4] = {input.x, input.y, input.z, input.w};
    uint32_t slopes[4], values[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 pair = unpack_f16(pairs[i]);
      const Activated low = activate_briefly(kActivation, pair.x),
                      high = activate_briefly(kActivation, pair.y);
      slopes[i] = pack_f16(low.slope, high.slope);
      values[i] = pack_bf16(low.value, high.value);
    }
    *reinterpret_cast<uint4*>(activated.at(row, column)) = {values[0], values[1], values[2], values[3]};
    return {slopes[0], slopes[1], slopes[2], slopes[3]};
  }
  __device__ uint4 chunk(int, int, const uint4& held) const { return held; }
};

// Query, key and value, head by head.
template <typename T>
struct StoreHeads {
  using Held = std::conditional_t<std::is_same_v<T, float>, HeldRows, HeldBf16>;
  static constexpr bool kHeldIsResult = false;
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
  using Before = Nothing;
  __device__ Before before(int, int) const { return {}; }
  __device__ void chunk(int row, int column, const float4& held, Before) const { store(row, column, held); }
  __device__ void chunk(int row, int column, const uint4& held) const { store(row, column, held); }

 private:
  template <typename Chunk>
  __device__ void store(int row, int column, const Chunk& values) const {
    constexpr int kValues = static_cast<int>(sizeof(Chunk) / sizeof(T));
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

}  // namespace albert::cuda
