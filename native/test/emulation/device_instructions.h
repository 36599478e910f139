// The instructions of native/cuda/instructions.cuh as their description in NVIDIA's PTX manual has them, for
// the emulation. Copies of cp.async happen when they are waited for, and not before.
#pragma once

#include <cmath>
#include <vector>

#include "cuda_runtime.h"
#include "support/half.h"

namespace albert::cuda {

template <typename T>
T* dynamic_shared() {
  return static_cast<T*>(emulation::dynamic_shared_memory());
}

inline void follow_previous() {}

inline uint32_t pack_bf16(float low, float high) {
  const auto round = [](float x) -> uint32_t { return std::isnan(x) ? 0x7fff : f32_to_bf16(x); };
  return round(low) | round(high) << 16;
}

inline uint32_t pack_f16(float low, float high) {
  const auto round = [](float x) -> uint32_t { return std::isnan(x) ? 0x7fff : f32_to_f16(x); };
  return round(low) | round(high) << 16;
}
inline float2 unpack_f16(uint32_t pair) {
  return {f16_to_f32(static_cast<uint16_t>(pair)), f16_to_f32(static_cast<uint16_t>(pair >> 16))};
}

void copy_async_16(void* shared, const void* global, bool valid);
void commit_copies();
void wait_copies(int pending);  // all but the last `pending` groups
template <int kPending>
void wait_for_copies() {
  wait_copies(kPending);
}

// 9.7.14.5.15 of the manual: matrix i, of 8 x 8 values, has its rows where lanes 8 i to 8 i + 7 point.
inline void load_matrices(uint32_t (&values)[4], const void* row, bool transposed) {
  const unsigned char* rows = emulation::exchange(&row, sizeof row);
  const int lane = emulation::lane();
  for (int i = 0; i < 4; ++i) {
    uint16_t pair[2];
    for (int e = 0; e < 2; ++e) {
      const int r = transposed ? lane % 4 * 2 + e : lane / 4, c = transposed ? lane / 4 : lane % 4 * 2 + e;
      const uint16_t* from;
      std::memcpy(&from, rows + (8 * i + r) * emulation::kSlot, sizeof from);
      pair[e] = from[c];
    }
    values[i] = pair[0] | static_cast<uint32_t>(pair[1]) << 16;
  }
  emulation::warp_barrier();
}
inline void load_matrices(uint32_t (&values)[4], const void* row) { load_matrices(values, row, false); }
inline void load_matrices_transposed(uint32_t (&values)[4], const void* row) {
  load_matrices(values, row, true);
}

// 9.7.14.5.8: with g = lane / 4 and t = lane % 4, A's registers hold rows g and g + 8 of columns 2 t and 2 t
// + 8, B's rows 2 t and 2 t + 8 of column g, C's rows g and g + 8 of column 2 t; each with the next column
// (B: row).
inline void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  uint32_t mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
  const unsigned char* all = emulation::exchange(mine, sizeof mine);
  const auto half_of = [&](int lane, int index, int half) {
    uint32_t word;
    std::memcpy(&word, all + lane * emulation::kSlot + index * sizeof word, sizeof word);
    return bf16_to_f32(static_cast<uint16_t>(word >> (16 * half)));
  };
  const int g = emulation::lane() / 4, t = emulation::lane() % 4;
  for (int i = 0; i < 4; ++i) {
    const int row = g + i / 2 * 8, column = 2 * t + i % 2;
    for (int k = 0; k < 16; ++k) {
      const float x = half_of(row % 8 * 4 + k % 8 / 2, k / 8 * 2 + row / 8, k % 2);
      const float w = half_of(column * 4 + k % 8 / 2, 4 + k / 8, k % 2);
      c[i] = std::fma(x, w, c[i]);
    }
  }
}

}  // namespace albert::cuda
