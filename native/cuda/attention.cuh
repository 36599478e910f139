// What attention's forward and gradient share: where heads lie, tiles of 64 of their rows in shared memory,
// products of tiles on the tensor cores, and what dropout keeps of a tile of scores.
#pragma once

#include "cuda/backend.h"
#include "cuda/common.cuh"

namespace albert::cuda::attention {

constexpr int kThreads = 128, kWarps = kThreads / kWarp;

// One head's share of the queries, keys and values of all rows.
template <typename T>
struct HeadRows {
  const T *query, *key, *value;  // [rows, stride]
};

template <typename T>
struct DeviceHeads {
  const T *query, *key, *value;  // [A, rows, stride]
  int64_t rows, stride, size;

  __device__ HeadRows<T> of(int64_t head) const {
    const int64_t at = head * rows * stride;
    return {query + at, key + at, value + at};
  }
};

// Heads of the host, in tests alone, are brought to the device as floats, of which a 16-bit value takes half.
template <typename T>
DeviceHeads<T> on_device(const Heads& heads, int64_t rows, Operation& operation) {
  const int64_t values = heads.heads * rows * heads.stride;
  const int64_t floats = divide_up<int64_t>(values * static_cast<int64_t>(sizeof(T)), sizeof(float));
  const auto part = [&](const void* matrix) {
    return reinterpret_cast<const T*>(operation.in(static_cast<const float*>(matrix), floats));
  };
  return {part(heads.query), part(heads.key), part(heads.value), rows, heads.stride, heads.size};
}

inline float score_scale(const Heads& heads) { return 1 / std::sqrt(static_cast<float>(heads.size)); }

// ---- a warp for each query of each head

inline dim3 warps_of(int64_t items, int64_t heads) {
  return dim3(blocks_of(items, kWarps).x, static_cast<unsigned>(heads));
}

template <typename A, typename B>
__device__ float dot(const A* a, const B* b, int64_t size) {
  float sum = 0;
  for (int64_t d = 0; d < size; ++d) sum = fmaf(value_of(a[d]), value_of(b[d]), sum);
  return sum;
}

// scores[k] of a query become its probabilities, before dropout. Returns the sum's inverse and the largest
// score.
struct Softmax {
  float largest, inverse;
};
__device__ inline Softmax softmax(float* scores, int keys) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float largest = -INFINITY, sum = 0;
  for (int k = lane; k < keys; k += kWarp) largest = scores[k] > largest ? scores[k] : largest;
  largest = warp_max(largest);
  for (int k = lane; k < keys; k += kWarp) sum += scores[k] = expf(scores[k] - largest);
  const float inverse = 1 / warp_sum(sum);
  for (int k = lane; k < keys; k += kWarp) scores[k] *= inverse;
  __syncwarp();
  return {largest, inverse};
}

// ---- tiles: 64 rows of a head, bf16, by a block whose warps have 16 rows each

constexpr int64_t kMostTileDepth = 128;  // sums of larger heads have no room in a thread's registers
static_assert(kTile == kQueryTile && kTile == kWarps * 16, "a warp multiplies 16 rows of a tile");

template <int kDepth>
constexpr size_t tile_bytes() {
  return size_t{kTile} * kDepth * sizeof(uint16_t);
}

// Where chunk `chunk` of row `row` of a tile lies, so that eight rows of one chunk lie in different banks.
template <int kDepth>
__device__ uint32_t swizzled(uint32_t row, uint32_t chunk) {
  constexpr int kChunks = kDepth / kTileChunk;
  return row * kDepth + (kChunks >= 8 ? chunk ^ (row % 8) : chunk ^ (row / 2 % kChunks)) * kTileChunk;
}

// Copies 64 rows, by each kCopyThreads of a block's threads; what lies past a row's head or past the last row
// is zero. `rows` null: the rows from `first` on. They have arrived after finish_copies().
template <int kDepth, int kCopyThreads = kThreads>
__device__ void copy_rows(uint16_t* tile, const uint16_t* matrix, int64_t stride, int64_t size, int first,
                          const int32_t* rows, int count) {
  // A thread has one chunk of every kStep rows, so that its addresses advance by the same.
  constexpr uint32_t kChunks = kDepth / kTileChunk, kStep = kCopyThreads / kChunks;
  const uint32_t thread = threadIdx.x % kCopyThreads, chunk = thread % kChunks, own = thread / kChunks;
  const int left = static_cast<int>(size) - static_cast<int>(chunk) * kTileChunk;
  const uint32_t end = left > 0 && count > 0 ? static_cast<uint32_t>(count) : 0;
  const auto source = [&](uint32_t row) {
    const int of_matrix = !rows ? first + static_cast<int>(row) : row < end ? rows[row] : 0;
    return matrix + (row < end ? of_matrix * stride + chunk * kTileChunk : 0);
  };
  if (left >= kTileChunk || left <= 0) {
#pragma unroll
    for (uint32_t row = own; row < kTile; row += kStep)
      copy_async_16(tile + swizzled<kDepth>(row, chunk), source(row), row < end);
  } else {
#pragma unroll 1
    for (uint32_t row = own; row < kTile; row += kStep)
#pragma unroll 1
      for (int e = 0; e < kTileChunk; ++e)
        tile[swizzled<kDepth>(row, chunk) + e] = row < end && e < left ? source(row)[e] : 0;
  }
}

struct alignas(16) FourFloats {
  float of[4];
};
struct alignas(16) PackedChunk {
  uint32_t pair[kTileChunk / 2];
};

// To `rest`, where it is not null, goes what rounding takes away.
__device__ inline void store_chunk(uint16_t* tile, uint16_t* rest, int at,
                                   const float (&values)[kTileChunk]) {
  PackedChunk packed, left_over;
#pragma unroll
  for (int e = 0; e < kTileChunk; e += 2) {
    const uint32_t pair = pack_bf16(values[e], values[e + 1]);
    packed.pair[e / 2] = pair;
    left_over.pair[e / 2] = pack_bf16(values[e] - low_bf16(pair), values[e + 1] - high_bf16(pair));
  }
  *reinterpret_cast<PackedChunk*>(tile + at) = packed;
  if (rest) *reinterpret_cast<PackedChunk*>(rest + at) = left_over;
}

// The same from fp32. Where chunks are whole, a thread asks for several before it rounds the first.
template <int kDepth>
__device__ void copy_rows(uint16_t* tile, const float* matrix, int64_t stride, int64_t size, int first,
                          const int32_t* rows, int count, uint16_t* rest = nullptr) {
  constexpr int kChunks = kDepth / kTileChunk, kEach = kTile * kChunks / kThreads;
  constexpr int kBatch = kEach < 4 ? kEach : 4;
  const int chunk = static_cast<int>(threadIdx.x) % kChunks;
  const int left = static_cast<int>(size) - chunk * kTileChunk;
  const auto row_of = [](int i) { return (static_cast<int>(threadIdx.x) + i * kThreads) / kChunks; };
  const auto from = [&](int row) {
    return matrix + int64_t{rows ? rows[row] : first + row} * stride + chunk * kTileChunk;
  };
  const bool aligned = stride % 4 == 0 && reinterpret_cast<uintptr_t>(matrix) % sizeof(FourFloats) == 0;
  if (aligned && size % kTileChunk == 0) {
#pragma unroll 1
    for (int begin = 0; begin < kEach; begin += kBatch) {
      FourFloats low[kBatch] = {}, high[kBatch] = {};
#pragma unroll
      for (int b = 0; b < kBatch; ++b)
        if (const int row = row_of(begin + b); row < count && left > 0) {
          const FourFloats* const values = reinterpret_cast<const FourFloats*>(from(row));
          low[b] = values[0], high[b] = values[1];
        }
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const float(&l)[4] = low[b].of;
        const float(&h)[4] = high[b].of;
        store_chunk(tile, rest, swizzled<kDepth>(row_of(begin + b), chunk),
                    {l[0], l[1], l[2], l[3], h[0], h[1], h[2], h[3]});
      }
    }
  } else {
#pragma unroll 1
    for (int i = 0; i < kEach; ++i) {
      const int row = row_of(i);
      float values[kTileChunk] = {};
#pragma unroll
      for (int e = 0; e < kTileChunk; ++e)
        if (row < count && e < left) values[e] = from(row)[e];
      store_chunk(tile, rest, swizzled<kDepth>(row, chunk), values);
    }
  }
}

__device__ inline void finish_copies() {
  commit_copies();
  wait_for_copies<0>();
  __syncthreads();
}

// ---- products of a warp. An element e of c[j] stands in row lane / 4 + e / 2 * 8 and column j * 8 +
// lane % 4 * 2 + e % 2.

__device__ inline int own_row(int half) { return static_cast<int>(threadIdx.x) % kWarp / 4 + half * 8; }
__device__ inline int own_column(int j, int e) {
  return j * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + e % 2;
}

// Columns 16 step to 16 step + 15 of a tile's 16 rows from `row` on.
template <int kDepth>
__device__ void load_rows(uint32_t (&a)[4], const uint16_t* tile, int row, int step) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  load_matrices(a, tile + swizzled<kDepth>(row + lane % 16, step * 2 + lane / 16));
}

// c += a b^T, along one step of the depth: b the tile's rows from `row` on.
template <int kDepth, int kColumns>
__device__ void multiply_rows(float (&c)[kColumns][4], const uint32_t (&a)[4], const uint16_t* tile, int row,
                              int step) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int j = 0; j < kColumns; j += 2) {
    uint32_t b[4];
    load_matrices(b,
                  tile + swizzled<kDepth>(row + j * 8 + lane / 16 * 8 + lane % 8, step * 2 + lane / 8 % 2));
    multiply_add(c[j], a, b[0], b[1]);
    multiply_add(c[j + 1], a, b[2], b[3]);
  }
}

// The elements of c in pairs of bf16: those of half h of c[j] in rounded[j][h].
template <int kColumns>
__device__ void round_pairs(uint32_t (&rounded)[kColumns][2], const float (&c)[kColumns][4]) {
#pragma unroll
  for (int j = 0; j < kColumns; ++j)
#pragma unroll
    for (int half = 0; half < 2; ++half) rounded[j][half] = pack_bf16(c[j][2 * half], c[j][2 * half + 1]);
}

// c += a b for 16 values of depth: a in registers, as multiply_add() takes it, b the tile's rows from `row`
// on.
template <int kDepth>
__device__ void multiply_step(float (&c)[kDepth / 8][4], const uint32_t (&a)[4], const uint16_t* tile,
                              int row) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int j = 0; j < kDepth / 8; j += 2) {
    uint32_t b[4];
    load_matrices_transposed(b, tile + swizzled<kDepth>(row + lane / 8 % 2 * 8 + lane % 8, j + lane / 16));
    multiply_add(c[j], a, b[0], b[1]);
    multiply_add(c[j + 1], a, b[2], b[3]);
  }
}
// The same for a [16, 8 kRows] as round_pairs() leaves it.
template <int kDepth, int kRows>
__device__ void multiply_columns(float (&c)[kDepth / 8][4], const uint32_t (&a)[kRows][2],
                                 const uint16_t* tile, int row) {
#pragma unroll
  for (int k = 0; k < kRows; k += 2)
    multiply_step<kDepth>(c, {a[k][0], a[k][1], a[k + 1][0], a[k + 1][1]}, tile, row + k * 8);
}

// The sum, or the largest, of the four lanes that share a row.
__device__ inline float row_sum(float x) {
  x += __shfl_xor_sync(kAllLanes, x, 1);
  return x + __shfl_xor_sync(kAllLanes, x, 2);
}
__device__ inline float row_max(float x) {
#pragma unroll
  for (int bits = 1; bits < 4; bits *= 2) {
    const float other = __shfl_xor_sync(kAllLanes, x, bits);
    x = other > x ? other : x;
  }
  return x;
}

struct alignas(8) TwoFloats {
  float of[2];
};

// One half of c's rows times `factor`, to a row of `size` values.
template <int kColumns>
__device__ void store_row(float* to, const float (&c)[kColumns][4], int half, float factor, int64_t size) {
  const bool paired = size % 2 == 0 && reinterpret_cast<uintptr_t>(to) % sizeof(TwoFloats) == 0;
#pragma unroll
  for (int j = 0; j < kColumns; ++j) {
    const int d = own_column(j, 0);
    const float low = c[j][2 * half] * factor, high = c[j][2 * half + 1] * factor;
    if (paired) {
      if (d < size) *reinterpret_cast<TwoFloats*>(to + d) = {{low, high}};
    } else {
      if (d < size) to[d] = low;
      if (d + 1 < size) to[d + 1] = high;
    }
  }
}

// ---- dropout of a warp's 16 x 64 scores. A draw decides on four keys of one query, and a lane draws for
// half of the keys of one of the two rows it has elements of: it exchanges the results with its neighbour.

// The row that this lane draws for, of the 16 from `first` on, or the last of `rows` past them, and which
// four of each eight keys.
__device__ inline int drawn_row(int first, int rows) {
  const int row = first + own_row(static_cast<int>(threadIdx.x) % 2);
  return row < rows ? row : rows - 1;
}
__device__ inline int drawn_half() { return static_cast<int>(threadIdx.x) % 4 / 2; }

// Bit 4 j + i says whether key first_key + 8 j + 4 drawn_half() + i of row `row` is kept.
__device__ inline uint32_t draw_kept(const Dropout& dropout, int64_t row, int first_key) {
  const uint32_t threshold = drop_threshold(dropout);
  const uint64_t begin =
      static_cast<uint64_t>(row) << 16 | static_cast<uint64_t>(first_key / 4 + drawn_half());
  uint32_t kept = 0;
#pragma unroll 1
  for (int j = 0; j < kTile / 8; ++j) {
    const Philox4 random = philox(dropout.seed, dropout.stream, begin + static_cast<uint64_t>(2 * j));
#pragma unroll
    for (int i = 0; i < 4; ++i) kept |= static_cast<uint32_t>(random.word[i] >= threshold) << (4 * j + i);
  }
  return kept;
}

// Of this lane's elements: bit 4 j + e % 2 of half e / 2.
struct KeptElements {
  uint32_t of_half[2];
  __device__ bool has(int j, int e) const { return of_half[e / 2] >> (4 * j + e % 2) & 1; }
  // Of a pair of bf16.
  __device__ uint32_t mask(int j, int half) const {
    return (has(j, 2 * half) ? 0xffffu : 0) | (has(j, 2 * half + 1) ? 0xffff0000u : 0);
  }
};
__device__ inline KeptElements exchange_kept(uint32_t drawn) {
  const uint32_t other = __shfl_xor_sync(kAllLanes, drawn, 1);
  const int odd = static_cast<int>(threadIdx.x) % 2;
  return {{(odd ? other : drawn) >> (2 * odd), (odd ? drawn : other) >> (2 * odd)}};
}

inline float kept_scale(const Dropout& dropout) { return 1 / (1 - dropout.probability); }

}  // namespace albert::cuda::attention
