// The layout of bf16 factors of products: tiles of 64 rows by 64 values of depth, as the tensor cores read
// them.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace albert::cuda {

constexpr int kTile = 64;                   // rows of a tile, and values of each
constexpr int kTileValues = kTile * kTile;  // 8 KB
constexpr int kTileBytes = 2 * kTileValues;
constexpr int kTileChunk = 8;                    // values of 16 bytes
constexpr int kTileChunks = kTile / kTileChunk;  // of a row

__host__ __device__ constexpr int64_t tiles_of(int64_t values) { return (values + kTile - 1) / kTile; }

// Where a chunk of a tile lies: those of a row change places with its number, so that eight rows of one chunk
// lie in different banks of shared memory. It is the 128-byte swizzle of the tensor cores. Unsigned, because
// dividing a signed number by a power of two is more than a shift.
__host__ __device__ inline uint32_t tile_chunk(uint32_t row, uint32_t chunk) {
  return row * kTile + (chunk ^ (row % 8)) * kTileChunk;
}

// A matrix [rows, depth] of bf16, both rounded up to whole tiles. Each tile is contiguous; those of 64 rows
// follow one another. Depth past the last value is zero, rows past the last may be anything.
struct Tiles {
  uint16_t* values = nullptr;
  int64_t across = 0;  // tiles of the depth

  static int64_t count(int64_t rows, int64_t depth) { return tiles_of(rows) * tiles_of(depth) * kTileValues; }
  __host__ __device__ uint16_t* tile(int64_t down, int64_t right) const {
    return values + (down * across + right) * kTileValues;
  }
  __host__ __device__ uint16_t* at(uint32_t row, uint32_t column) const {
    return tile(row / kTile, column / kTile) + tile_chunk(row % kTile, column % kTile / kTileChunk) +
           column % kTileChunk;
  }
};

}  // namespace albert::cuda
