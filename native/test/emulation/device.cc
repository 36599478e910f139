// The emulated device: the threads of a cluster as fibers, their barriers, and copies and products under way.
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

#include "device_instructions.h"
#include "device_memory.h"
#include "hopper_instructions.h"

dim3 threadIdx, blockIdx, blockDim, gridDim;

// Leaves this stack, whose place goes to *saved, for another: what a call must keep stands on top of either.
extern "C" void albert_switch_stack(void** saved, void* other);
#if defined(__x86_64__)
asm(R"(
.text
.globl albert_switch_stack
albert_switch_stack:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
)");
constexpr int kSavedWords = 6;
#else
#error "the emulation switches stacks on x86-64 alone"
#endif

namespace albert::emulation {
namespace {

constexpr size_t kStackBytes = 128 << 10;
constexpr int kNobody = -1;
constexpr unsigned kTurnsToACopy = 512;  // of threads, on average, while any can go on

struct Fiber;

struct Barrier {
  int expected = 0, arrived = 0;
  std::vector<Fiber*> waiting;

  void expect(int arrivals) {
    expected = arrivals, arrived = 0;
    waiting.clear();
  }
  bool arrive() { return ++arrived == expected; }
  void pass();  // lets those who wait go on
};

// Of mbarrier: a phase passes when all arrived and all announced bytes came.
struct Phase : Barrier {
  int64_t bytes = 0;
  unsigned passed = 0;
  void pass_if_complete() {
    if (arrived != expected || bytes != 0) return;
    ++passed;
    pass();
  }
};

struct BulkCopy {
  void* to;
  const void* from;
  int bytes;
  Phase* phase;
};

struct Copy {
  void* to;
  const void* from;
  bool valid;
};

struct Block;

struct Fiber {
  Block* block = nullptr;
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  void* top = nullptr;  // of the stack, while another runs
  dim3 index;
  int number = 0;  // in its block
  bool done = false;
  unsigned exchanges = 0;
  std::vector<Copy> open;
  std::deque<std::vector<Copy>> committed;
  std::vector<std::function<void()>> open_products, open_stores;
  std::deque<std::vector<std::function<void()>>> committed_products, committed_stores;
};

struct Warp {
  Barrier barrier;
  alignas(16) unsigned char slots[2][32][kSlot];
};

struct Block {
  dim3 index;
  int rank = 0;  // in its cluster
  std::vector<Warp> warps;
  Barrier barrier;
  std::vector<Barrier> barriers_of_warpgroups;
  unsigned char* memory = nullptr;  // shared, of `shared_bytes`
};

// One grid runs at a time, and of it one cluster of blocks.
void* scheduler = nullptr;  // the top of its stack
std::vector<std::unique_ptr<Fiber>> fibers;
std::vector<Fiber*> ready;  // those that wait for nothing
std::vector<Block> blocks;
Barrier barrier_of_cluster;
std::map<const uint64_t*, Phase> phases;
std::vector<BulkCopy> bulk_copies;  // not done yet
Fiber* current = nullptr;
std::vector<unsigned char> shared_memory;  // of all blocks
const std::function<void()>* body = nullptr;
std::minstd_rand engine(20261125);

void resume_indices() {
  threadIdx = current->index;
  blockIdx = current->block->index;
}

void Barrier::pass() {
  arrived = 0;
  ready.insert(ready.end(), waiting.begin(), waiting.end());
  waiting.clear();
}

void block_on(Barrier& barrier) {
  barrier.waiting.push_back(current);
  albert_switch_stack(&current->top, scheduler);
  resume_indices();
}

// Gives every block of the cluster poisoned memory. Its address is a multiple of 128 and no more, and the
// same modulo 1024 in all of them.
void make_shared_memory(size_t bytes) {
  constexpr size_t kAlignment = 1024, kBase = 128;
  const size_t of_block = (kBase + bytes + kAlignment - 1) / kAlignment * kAlignment;
  shared_memory.assign(blocks.size() * of_block + kAlignment, kPoisonByte);
  void* aligned = shared_memory.data();
  size_t space = shared_memory.size();
  std::align(kAlignment, 1, aligned, space);
  for (Block& block : blocks)
    block.memory = static_cast<unsigned char*>(aligned) + static_cast<size_t>(block.rank) * of_block + kBase;
}

// What another block of the cluster has where this one has `own`.
template <typename T>
T* in_block(T* own, const Block& other) {
  return reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(own) -
                              reinterpret_cast<uintptr_t>(current->block->memory) +
                              reinterpret_cast<uintptr_t>(other.memory));
}

template <typename T>
T take_any(std::vector<T>& all) {
  std::swap(all[engine() % all.size()], all.back());
  const T one = all.back();
  all.pop_back();
  return one;
}

void finish_a_copy() {
  const BulkCopy copy = take_any(bulk_copies);
  std::memcpy(copy.to, copy.from, static_cast<size_t>(copy.bytes));
  copy.phase->bytes -= copy.bytes;
  copy.phase->pass_if_complete();
}

[[noreturn]] void enter() {
  (*body)();
  current->done = true;
  albert_switch_stack(&current->top, scheduler);
  std::abort();
}

void wait(Barrier& barrier) { barrier.arrive() ? barrier.pass() : block_on(barrier); }

void prepare_block(Block& block, int threads) {
  block.warps.resize(static_cast<size_t>((threads + 31) / 32));
  for (size_t w = 0; w < block.warps.size(); ++w)
    block.warps[w].barrier.expect(std::min(32, threads - 32 * static_cast<int>(w)));
  block.barrier.expect(threads);
  block.barriers_of_warpgroups.resize(static_cast<size_t>(threads / 128));
  for (Barrier& barrier : block.barriers_of_warpgroups) barrier.expect(128);
}

void prepare_fiber(Fiber& fiber, Block& block, int number) {
  // As if `enter` had been called, and its caller's registers saved: the stack stands 8 bytes past a multiple
  // of 16, as after a call.
  void** const bottom =
      reinterpret_cast<void**>(reinterpret_cast<uintptr_t>(fiber.stack.get() + kStackBytes) / 16 * 16) - 2;
  *bottom = reinterpret_cast<void*>(&enter);
  fiber.top = bottom - kSavedWords;
  fiber.block = &block;
  fiber.number = number;
  fiber.index = dim3(number % blockDim.x, number / blockDim.x % blockDim.y, number / blockDim.x / blockDim.y);
  fiber.done = false;
  fiber.exchanges = 0;
  fiber.open.clear();
  fiber.committed.clear();
  fiber.open_products.clear();
  fiber.committed_products.clear();
  fiber.open_stores.clear();
  fiber.committed_stores.clear();
}

int warp_of(const Fiber& fiber) {
  return fiber.block->rank * static_cast<int>(fiber.block->warps.size()) + fiber.number / 32;
}

// The next to go on: any, or one of the warp that is `ahead` while it has one that can.
Fiber* take_ready(int& ahead) {
  if (ahead == kNobody) return take_any(ready);
  for (size_t i = ready.size(); i-- > 0;)
    if (warp_of(*ready[i]) == ahead) {
      std::swap(ready[i], ready.back());
      Fiber* const one = ready.back();
      ready.pop_back();
      return one;
    }
  Fiber* const one = take_any(ready);
  ahead = warp_of(*one);
  return one;
}

// Runs `blocks`, which know their indices and ranks. In one cluster of two a warp goes on until all of it
// waits, so that it gets as far ahead of the others as barriers let it.
void run_cluster(int threads, size_t shared_bytes) {
  int ahead = engine() % 2 == 0 ? kNobody : 0;
  const int all = static_cast<int>(blocks.size()) * threads;
  barrier_of_cluster.expect(all);
  phases.clear();
  make_shared_memory(shared_bytes);
  for (Block& block : blocks) prepare_block(block, threads);
  while (fibers.size() < static_cast<size_t>(all)) fibers.push_back(std::make_unique<Fiber>());
  ready.clear();
  for (int i = 0; i < all; ++i) {
    prepare_fiber(*fibers[i], blocks[i / threads], i % threads);
    ready.push_back(fibers[i].get());
  }
  for (int left = all; left > 0;) {
    if (!bulk_copies.empty() && (ready.empty() || engine() % kTurnsToACopy == 0)) {
      finish_a_copy();
    } else if (!ready.empty()) {
      current = take_ready(ahead);
      resume_indices();
      albert_switch_stack(&scheduler, current->top);
      left -= current->done;
    } else {
      throw std::logic_error("threads of a block wait at different barriers");
    }
  }
  for (int i = 0; i < all; ++i)
    for (const auto& group : fibers[i]->committed_stores)
      if (!group.empty()) throw std::logic_error("a block ended before copies from its memory did");
  if (!bulk_copies.empty()) throw std::logic_error("a block ended before copies to its memory did");
}

}  // namespace

void run(const dim3& grid, const dim3& block, unsigned cluster, size_t shared_bytes,
         const std::function<void()>& kernel) {
  const DeviceAccess access;
  if (grid.x % cluster != 0) throw std::logic_error("a grid is no whole number of clusters");
  gridDim = grid;
  blockDim = block;
  body = &kernel;
  blocks.resize(cluster);
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; x += cluster) {
        for (unsigned rank = 0; rank < cluster; ++rank) {
          blocks[rank].index = dim3(x + rank, y, z);
          blocks[rank].rank = static_cast<int>(rank);
        }
        run_cluster(static_cast<int>(block.x * block.y * block.z), shared_bytes);
      }
}

void* dynamic_shared_memory() { return current->block->memory; }

Warp& own_warp() { return current->block->warps[static_cast<size_t>(current->number / 32)]; }
void block_barrier() { wait(current->block->barrier); }
void warp_barrier() { wait(own_warp().barrier); }
void warpgroup_barrier() {
  wait(current->block->barriers_of_warpgroups[static_cast<size_t>(current->number / 128)]);
}

int lane_of_warpgroup() { return current->number % 128; }
void add_product(std::function<void()> product) { current->open_products.push_back(std::move(product)); }

const unsigned char* exchange(const void* values, size_t bytes) {
  Warp& warp = own_warp();
  auto& slots = warp.slots[current->exchanges++ % 2];
  std::memcpy(slots[lane()], values, bytes);
  warp_barrier();
  return slots[0];
}

int lane() { return current->number % 32; }

}  // namespace albert::emulation

namespace albert::cuda {

using emulation::current;

void copy_async_16(void* shared, const void* global, bool valid) {
  std::memset(shared, emulation::kPoisonByte, 16);
  current->open.push_back({shared, global, valid});
}

void commit_copies() { current->committed.push_back(std::move(current->open)), current->open.clear(); }

void wait_copies(int pending) {
  while (static_cast<int>(current->committed.size()) > pending) {
    for (const emulation::Copy& copy : current->committed.front()) {
      if (copy.valid)
        std::memcpy(copy.to, copy.from, 16);
      else
        std::memset(copy.to, 0, 16);
    }
    current->committed.pop_front();
  }
}

void make_barrier(uint64_t* barrier, int arrivals) {
  emulation::phases[barrier] = {};
  emulation::phases[barrier].expect(arrivals);
}
int rank_in_cluster() { return current->block->rank; }
void synchronise_cluster() { emulation::wait(emulation::barrier_of_cluster); }
void arrive_in_cluster(uint64_t* barrier, int rank) {
  arrive(emulation::in_block(barrier, emulation::blocks[static_cast<size_t>(rank)]));
}
void arrive_expecting(uint64_t* barrier, int bytes) {
  emulation::Phase& phase = emulation::phases.at(barrier);
  phase.bytes += bytes;
  phase.arrive();
  phase.pass_if_complete();
}
void wait_for_phase(uint64_t* barrier, int parity) {
  emulation::Phase& phase = emulation::phases.at(barrier);
  while (static_cast<int>(phase.passed % 2) == parity) emulation::block_on(phase);
}
void copy_bulk(void* shared, const void* global, int bytes, uint64_t* barrier) {
  std::memset(shared, emulation::kPoisonByte, static_cast<size_t>(bytes));
  emulation::bulk_copies.push_back({shared, global, bytes, &emulation::phases.at(barrier)});
}
void copy_bulk_to_cluster(void* shared, const void* global, int bytes, uint64_t* barrier, int count) {
  for (int rank = 0; rank < count; ++rank) {
    const emulation::Block& block = emulation::blocks.at(static_cast<size_t>(rank));
    copy_bulk(emulation::in_block(shared, block), global, bytes, emulation::in_block(barrier, block));
  }
}

void commit_products() {
  current->committed_products.push_back(std::move(current->open_products));
  current->open_products.clear();
}
// Does all groups but the last `pending`.
void finish_groups(std::deque<std::vector<std::function<void()>>>& groups, int pending) {
  for (; static_cast<int>(groups.size()) > pending; groups.pop_front())
    for (const auto& action : groups.front()) action();
}
void wait_products(int pending) {
  finish_groups(current->committed_products, pending);
  emulation::warpgroup_barrier();
}

void copy_bulk_out(void* global, const void* shared, int bytes) {
  current->open_stores.push_back([=] { std::memcpy(global, shared, static_cast<size_t>(bytes)); });
}
void commit_bulk_copies() {
  current->committed_stores.push_back(std::move(current->open_stores));
  current->open_stores.clear();
}
void wait_bulk_reads(int pending) { finish_groups(current->committed_stores, pending); }

}  // namespace albert::cuda
