// What the GPU does from compute capability 9.0a on: copies of whole tiles that report to barriers in shared
// memory, and products of whole warpgroups with factors in shared memory (PTX manual, sections on mbarrier,
// cp.async.bulk and wgmma).
#pragma once

#include "cuda/instructions.cuh"
#include "cuda/tiles.cuh"

#if defined(ALBERT_CUDA_EMULATED)
#define ALBERT_HOPPER 1
#include "hopper_instructions.h"
#else
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define ALBERT_HOPPER 1
#endif

namespace albert::cuda {

// ---- barriers: a phase ends when all arrivals and all announced bytes are there

__device__ inline void make_barrier(uint64_t* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals)
               : "memory");
}
// Shows new barriers to the copies; __syncthreads() must follow.
__device__ inline void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ inline void arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
// Arrives, and announces bytes that copies will bring.
__device__ inline void arrive_expecting(uint64_t* barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
               "r"(bytes)
               : "memory");
}
// Waits for the end of the phase of this parity; the first phase has 0.
__device__ inline void wait_for_phase(uint64_t* barrier, int parity) {
  uint32_t done = 0;
  while (!done)
    asm volatile(
        "{\n"
        ".reg .pred p;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;\n"
        "}"
        : "=r"(done)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
}

// Copies contiguous memory to shared memory, both on 16 bytes, and reports to the barrier.
__device__ inline void copy_bulk(void* shared, const void* global, int bytes, uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
          shared_address(shared)),
      "l"(global), "r"(bytes), "r"(shared_address(barrier))
      : "memory");
}

// ---- clusters: neighbouring blocks of a grid that run at the same time and see one another's shared memory

__device__ inline int rank_in_cluster() {
  int rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
// Waits for all threads of the cluster.
__device__ inline void synchronise_cluster() {
  asm volatile(
      "barrier.cluster.arrive.release;\n"
      "barrier.cluster.wait.acquire;" ::
          : "memory");
}
// Arrives at what the block of this rank has in the place of `barrier`. What this block wrote it does not
// show to the other: that would take 700 cycles.
__device__ inline void arrive_in_cluster(uint64_t* barrier, int rank) {
  asm volatile(
      "{\n"
      ".reg .b32 remote;\n"
      "mapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [remote];\n"
      "}" ::"r"(shared_address(barrier)),
      "r"(rank)
      : "memory");
}
// copy_bulk() to this place of the first `count` blocks of the cluster, reporting to the barrier of each.
__device__ inline void copy_bulk_to_cluster(void* shared, const void* global, int bytes, uint64_t* barrier,
                                            int count) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster "
      "[%0], [%1], %2, [%3], %4;" ::"r"(shared_address(shared)),
      "l"(global), "r"(bytes), "r"(shared_address(barrier)), "h"(static_cast<uint16_t>((1 << count) - 1))
      : "memory");
}

// ---- the way back

// Shows what this thread wrote to shared memory to copies.
__device__ inline void publish_shared() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
__device__ inline void copy_bulk_out(void* global, const void* shared, int bytes) {
  asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(global),
               "r"(shared_address(shared)), "r"(bytes)
               : "memory");
}
__device__ inline void commit_bulk_copies() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
// Waits until all groups of this thread's copies but the last kPending have read shared memory.
template <int kPending>
__device__ void wait_for_bulk_reads() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kPending) : "memory");
}

// ---- products of a warpgroup

#if defined(ALBERT_HOPPER)

// Registers of each thread of this warpgroup, from now on.
template <int kRegisters>
__device__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// Before the first product, and after other code touched the sums.
__device__ inline void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Waits for all groups of products but the last kPending.
template <int kPending>
__device__ void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// Describes a factor of a product of 16 values of depth, `step` of 4 in its tiles, which begin on 1024 bytes
// and have the 128-byte swizzle. By rows, the depth lies along the rows of a tile: eight rows take 1024
// bytes. By columns it lies across them: eight values of depth take 1024 bytes, and the next 64 columns are
// the next tile.
template <bool kByColumns>
__device__ uint64_t describe_tile(const uint16_t* tile, int step) {
  constexpr uint64_t kSwizzle = uint64_t{1} << 62, kEight = uint64_t{1024 >> 4} << 32;
  constexpr uint64_t kNext = uint64_t{kByColumns ? kTileBytes >> 4 : 1} << 16;
  const uint32_t address = shared_address(tile) + step * 16 * 2 * (kByColumns ? kTile : 1);
  return static_cast<uint64_t>((address & 0x3ffff) >> 4) | kNext | kEight | kSwizzle;
}

#define ALBERT_SUMS4(i) "+f"(sums[i]), "+f"(sums[i + 1]), "+f"(sums[i + 2]), "+f"(sums[i + 3])
#define ALBERT_SUMS16(i) ALBERT_SUMS4(i), ALBERT_SUMS4(i + 4), ALBERT_SUMS4(i + 8), ALBERT_SUMS4(i + 12)
#define ALBERT_SUMS64(i) ALBERT_SUMS16(i), ALBERT_SUMS16(i + 16), ALBERT_SUMS16(i + 32), ALBERT_SUMS16(i + 48)
#define ALBERT_NAMES_0 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define ALBERT_NAMES_16 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define ALBERT_NAMES_32                                              \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47" \
  ",%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define ALBERT_NAMES_64                                                          \
  ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79"             \
  ",%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95"             \
  ",%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111" \
  ",%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"
// a, b: descriptors; s: 0 forgets the sums; c: 1 by columns.
#define ALBERT_PRODUCT(columns, names, a, b, s, c)                                        \
  "{\n.reg .pred p;\nsetp.ne.b32 p, " s ", 0;\nwgmma.mma_async.sync.aligned.m64n" columns \
  "k16.f32.bf16.bf16 {" names "}, " a ", " b ", p, 1, 1, " c ", " c ";\n}"

// sums += a b^T for 16 values of depth, `step` of 4, of 64 rows of a and kColumns of b; `add` false forgets
// the sums before. Lane l of warp w holds, of columns 8 j + 2 (l % 4) and the next, row 16 w + l / 4 in
// sums[4 j] and [4 j + 1], and the row 8 below in the following two.
template <int kColumns, bool kByColumns>
__device__ void multiply_add_tiles(float (&sums)[kColumns / 2], const uint16_t* a, const uint16_t* b,
                                   int step, bool add) {
  const uint64_t of_a = describe_tile<kByColumns>(a, step), of_b = describe_tile<kByColumns>(b, step);
  const int keep = add ? 1 : 0;
  if constexpr (kColumns == 32)
    asm volatile(ALBERT_PRODUCT("32", ALBERT_NAMES_0, "%16", "%17", "%18", "%19")
                 : ALBERT_SUMS16(0)
                 : "l"(of_a), "l"(of_b), "r"(keep), "n"(kByColumns ? 1 : 0));
  else if constexpr (kColumns == 64)
    asm volatile(ALBERT_PRODUCT("64", ALBERT_NAMES_0 ALBERT_NAMES_16, "%32", "%33", "%34", "%35")
                 : ALBERT_SUMS16(0), ALBERT_SUMS16(16)
                 : "l"(of_a), "l"(of_b), "r"(keep), "n"(kByColumns ? 1 : 0));
  else if constexpr (kColumns == 128)
    asm volatile(
        ALBERT_PRODUCT("128", ALBERT_NAMES_0 ALBERT_NAMES_16 ALBERT_NAMES_32, "%64", "%65", "%66", "%67")
        : ALBERT_SUMS64(0)
        : "l"(of_a), "l"(of_b), "r"(keep), "n"(kByColumns ? 1 : 0));
  else
    asm volatile(ALBERT_PRODUCT("256", ALBERT_NAMES_0 ALBERT_NAMES_16 ALBERT_NAMES_32 ALBERT_NAMES_64, "%128",
                                "%129", "%130", "%131")
                 : ALBERT_SUMS64(0), ALBERT_SUMS64(64)
                 : "l"(of_a), "l"(of_b), "r"(keep), "n"(kByColumns ? 1 : 0));
}

// sums += a b for 16 values of depth, `step` of 4, which lie across the tile b: a [64, 16] is in the
// registers of four warps, 16 rows of each as multiply_add() takes them. Sums as above, of 64 columns.
__device__ inline void multiply_add_columns(float (&sums)[kTile / 2], const uint32_t (&a)[4],
                                            const uint16_t* b, int step) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, 1, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" ALBERT_NAMES_0 ALBERT_NAMES_16
      "}, {%32, %33, %34, %35}, %36, p, 1, 1, 1;\n}"
      : ALBERT_SUMS16(0), ALBERT_SUMS16(16)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(describe_tile<true>(b, step)));
}

// Sums that have been waited for: nothing that reads them comes before this.
template <int kColumns>
__device__ void settle(float (&sums)[kColumns][4]) {
#pragma unroll
  for (int j = 0; j < kColumns; ++j)
    asm volatile("" : "+f"(sums[j][0]), "+f"(sums[j][1]), "+f"(sums[j][2]), "+f"(sums[j][3])::"memory");
}

#endif

}  // namespace albert::cuda
#endif

namespace albert::cuda {

// Tiles in shared memory begin on so many bytes; a launch asks for as many more.
constexpr int kTileAlignment = 1024;
__device__ inline unsigned char* align_tiles(unsigned char* memory) {
  return memory + (kTileAlignment - shared_address(memory) % kTileAlignment) % kTileAlignment;
}

// Sums by columns, as mma.sync has them, in the order in which wgmma does.
template <int kColumns>
__device__ float (&in_a_row(float (&sums)[kColumns][4]))[4 * kColumns] {
  return reinterpret_cast<float(&)[4 * kColumns]>(sums);
}

}  // namespace albert::cuda
