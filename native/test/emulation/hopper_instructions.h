// The instructions of native/cuda/hopper.cuh for the emulation. A bulk copy happens at a random time before
// its barrier passes; a product happens when it is waited for, and not before.
#pragma once

#include <array>
#include <functional>

#include "cuda/tiles.cuh"
#include "cuda_runtime.h"
#include "support/half.h"

namespace albert::emulation {

int lane_of_warpgroup();  // of 128
void add_product(std::function<void()> product);

}  // namespace albert::emulation

namespace albert::cuda {

inline uint32_t shared_address(const void* shared) {
  return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(shared));
}

void make_barrier(uint64_t* barrier, int arrivals);
inline void publish_barriers() {}
void arrive_expecting(uint64_t* barrier, int bytes);
inline void arrive(uint64_t* barrier) { arrive_expecting(barrier, 0); }
void wait_for_phase(uint64_t* barrier, int parity);
void copy_bulk(void* shared, const void* global, int bytes, uint64_t* barrier);

int rank_in_cluster();
void synchronise_cluster();
void arrive_in_cluster(uint64_t* barrier, int rank);
void copy_bulk_to_cluster(void* shared, const void* global, int bytes, uint64_t* barrier, int count);

inline void publish_shared() {}
void copy_bulk_out(void* global, const void* shared, int bytes);
void commit_bulk_copies();
void wait_bulk_reads(int pending);
template <int kPending>
void wait_for_bulk_reads() {
  wait_bulk_reads(kPending);
}

template <int kRegisters>
void give_registers() {}
template <int kRegisters>
void take_registers() {}
inline void begin_products() {}
void commit_products();
void wait_products(int pending);
template <int kPending>
void wait_for_products() {
  wait_products(kPending);
}

// 9.7.15.5.1 of the manual has the rows and columns of a thread's sums, 9.7.15.5.1.2 the swizzle of the
// factors.
template <int kColumns, bool kByColumns>
void multiply_add_tiles(float (&sums)[kColumns / 2], const uint16_t* a, const uint16_t* b, int step,
                        bool add) {
  const int lane = emulation::lane_of_warpgroup();
  emulation::add_product([&sums, a, b, step, add, lane] {
    const auto value = [&](const uint16_t* tiles, int i, int k) {
      const int row = kByColumns ? step * 16 + k : i, column = kByColumns ? i % kTile : step * 16 + k;
      const uint16_t* const tile = tiles + (kByColumns ? i / kTile * kTileValues : 0);
      return bf16_to_f32(tile[tile_chunk(row, column / kTileChunk) + column % kTileChunk]);
    };
    for (int i = 0; i < kColumns / 2; ++i) {
      const int row = lane / 32 * 16 + lane % 32 / 4 + i % 4 / 2 * 8,
                column = i / 4 * 8 + lane % 4 * 2 + i % 2;
      float sum = add ? sums[i] : 0;
      for (int k = 0; k < 16; ++k) sum = std::fma(value(a, row, k), value(b, column, k), sum);
      sums[i] = sum;
    }
  });
}

// 9.7.15.5.1.1 has where a thread's registers stand in a factor.
inline void multiply_add_columns(float (&sums)[kTile / 2], const uint32_t (&a)[4], const uint16_t* b,
                                 int step) {
  const unsigned char* const of_warp = emulation::exchange(a, sizeof a);
  const int lane = emulation::lane();
  std::array<float, 32> rows;  // of a: the two of this lane's sums
  for (int half = 0; half < 2; ++half)
    for (int k = 0; k < 16; ++k) {
      uint32_t pair;
      std::memcpy(&pair,
                  of_warp + (lane / 4 * 4 + k % 8 / 2) * emulation::kSlot + (half + k / 8 * 2) * sizeof pair,
                  sizeof pair);
      rows[static_cast<size_t>(half * 16 + k)] = bf16_to_f32(static_cast<uint16_t>(pair >> (16 * (k % 2))));
    }
  emulation::add_product([&sums, rows, b, step, lane] {
    for (int i = 0; i < kTile / 2; ++i) {
      const int column = i / 4 * 8 + lane % 4 * 2 + i % 2;
      for (int k = 0; k < 16; ++k) {
        const uint16_t value = b[tile_chunk(step * 16 + k, column / kTileChunk) + column % kTileChunk];
        sums[i] = std::fma(rows[static_cast<size_t>(i % 4 / 2 * 16 + k)], bf16_to_f32(value), sums[i]);
      }
    }
  });
}

template <int kColumns>
void settle(float (&)[kColumns][4]) {}

}  // namespace albert::cuda
