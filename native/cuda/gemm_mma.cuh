// Products y = x W^T by warps of compute capability 8.0: a ring of shared memory that copies fill while the
// tensor cores work on what came before.
#pragma once

#include "cuda/epilogue.cuh"

namespace albert::cuda {

// A block computes kSide x kSide sums, a warp 64 or 32 rows x 32 columns of them.
template <int kSide>
struct MmaTile {
  static constexpr int kWarpRows = kSide == 128 ? 64 : 32, kWarpColumns = 32;
  static constexpr int kThreads = kSide / kWarpRows * (kSide / kWarpColumns) * kWarp;
  static constexpr int kStages = 3;
  static constexpr int kStageValues = 2 * kSide * kTile;
  static constexpr size_t kSharedBytes = kStages * kStageValues * sizeof(uint16_t);
};

// Starts copying a step of depth of kSide rows, a tile after another, or kSide columns; those past the last
// become zeros.
template <int kSide, int kThreads, bool kByColumns>
__device__ void copy_tiles(uint16_t* to, const Tiles& from, int first, int end, int step) {
  constexpr int kChunksOfAll = kSide * kTileChunks;
#pragma unroll
  for (int i = static_cast<int>(threadIdx.x); i < kChunksOfAll; i += kThreads) {
    const int tile = i / (kTile * kTileChunks), within = i % (kTile * kTileChunks) * kTileChunk;
    const bool valid = first + tile * kTile < end;
    const int at = valid ? first / kTile + tile : 0;
    const uint16_t* const source = kByColumns ? from.tile(step, at) : from.tile(at, step);
    copy_async_16(to + tile * kTileValues + within, source + within, valid);
  }
}

// 16 rows of a factor and 16 values of depth, `step` of 4, from kSide rows of tiles; or as many columns.
template <bool kByColumns>
__device__ void load_factor_a(uint32_t (&a)[4], const uint16_t* tiles, int row, int step) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if constexpr (kByColumns)
    load_matrices_transposed(
        a, tiles + row / kTile * kTileValues +
               tile_chunk(step * 16 + lane / 16 * 8 + lane % 8, row % kTile / kTileChunk + lane / 8 % 2));
  else
    load_matrices(a, tiles + tile_chunk(row + lane % 16, step * 2 + lane / 16));
}
template <bool kByColumns>
__device__ void load_factor_b(uint32_t (&b)[4], const uint16_t* tiles, int row, int step) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if constexpr (kByColumns)
    load_matrices_transposed(
        b, tiles + row / kTile * kTileValues +
               tile_chunk(step * 16 + lane / 8 % 2 * 8 + lane % 8, row % kTile / kTileChunk + lane / 16));
  else
    load_matrices(b, tiles + tile_chunk(row + lane / 16 * 8 + lane % 8, step * 2 + lane / 8 % 2));
}

// kByColumns: of x and weights [depth, rows] and [depth, out], see TileProduct.
template <int kSide, bool kByColumns, typename Store>
__global__ void __launch_bounds__(MmaTile<kSide>::kThreads, kSide == 128 ? 1 : 2)
    multiply_mma_kernel(Tiles x, Tiles weights, ProductWork work, Store store) {
  using Shape = MmaTile<kSide>;
  constexpr int kStages = Shape::kStages, kThreads = Shape::kThreads;
  constexpr int kRowStrips = Shape::kWarpRows / 16, kColumnTiles = Shape::kWarpColumns / 8;
  uint16_t* const stages = dynamic_shared<uint16_t>();
  const int first_row = static_cast<int>(blockIdx.y) * kSide,
            first_column = static_cast<int>(blockIdx.x) * kSide;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warp_row = warp / (kSide / Shape::kWarpColumns) * Shape::kWarpRows;
  const int warp_column = warp % (kSide / Shape::kWarpColumns) * Shape::kWarpColumns;
  const int split = static_cast<int>(blockIdx.z);
  const int begin = work.begin(split), steps = work.begin(split + 1) - begin;

  const auto copy_stage = [&](int step) {
    if (step < steps) {
      uint16_t* const stage = stages + step % kStages * Shape::kStageValues;
      copy_tiles<kSide, kThreads, kByColumns>(stage, x, first_row, work.rows, begin + step);
      copy_tiles<kSide, kThreads, kByColumns>(stage + kSide * kTile, weights, first_column, work.out,
                                              begin + step);
    }
    commit_copies();
  };
  for (int step = 0; step < kStages - 1; ++step) copy_stage(step);

  float sums[kRowStrips][kColumnTiles * 4] = {};
  for (int step = 0; step < steps; ++step) {
    wait_for_copies<kStages - 2>();
    __syncthreads();  // the stage is complete, and everybody has left the one that is copied next
    copy_stage(step + kStages - 1);
    const uint16_t* const x_tile = stages + step % kStages * Shape::kStageValues;
    const uint16_t* const w_tile = x_tile + kSide * kTile;
#pragma unroll
    for (int k = 0; k < kTile / 16; ++k) {
      uint32_t a[kRowStrips][4], b[kColumnTiles / 2][4];
#pragma unroll
      for (int i = 0; i < kRowStrips; ++i) load_factor_a<kByColumns>(a[i], x_tile, warp_row + i * 16, k);
#pragma unroll
      for (int j = 0; j < kColumnTiles / 2; ++j)
        load_factor_b<kByColumns>(b[j], w_tile, warp_column + j * 16, k);
#pragma unroll
      for (int i = 0; i < kRowStrips; ++i)
#pragma unroll
        for (int j = 0; j < kColumnTiles; ++j)
          multiply_add(*reinterpret_cast<float(*)[4]>(sums[i] + 4 * j), a[i], b[j / 2][j % 2 * 2],
                       b[j / 2][j % 2 * 2 + 1]);
    }
  }
  wait_for_copies<0>();
  __syncthreads();  // the ring becomes what the warps store from
  ValueOf<Store>* const held = reinterpret_cast<ValueOf<Store>*>(stages) + warp * kGroupValues;
#pragma unroll
  for (int i = 0; i < kRowStrips; ++i)
    store_strip<Shape::kWarpColumns>(held, sums[i],
                                     {split * work.rows + first_row + warp_row + i * 16,
                                      first_column + warp_column, (split + 1) * work.rows, work.out},
                                     store);
}

}  // namespace albert::cuda
