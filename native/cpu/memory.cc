// Large blocks come from the system's page mapping, small ones from the heap.
#include "cpu/memory.h"

#include <cstdint>
#include <cstdlib>

#include "support/error.h"

#if defined(_WIN32)
#include <malloc.h>
#else
#include <sys/mman.h>
#endif

namespace albert::cpu {
namespace {

constexpr size_t kAlignment = 64;
// Heaps keep freed blocks for later: after 30 loads and disposals of a 47 MB model, glibc's held 190 MB.
constexpr size_t kMappedBytes = 256 << 10;
// Weights pass by in strides wider than a page; a page this large spares the walk of the page table.
constexpr size_t kHugePage = 2 << 20;

// Stands in the 64 bytes before every block.
struct Header {
  size_t bytes;
};

void* allocate(size_t bytes) {
#if defined(_WIN32)
  return _aligned_malloc(bytes, kAlignment);
#else
  if (bytes < kMappedBytes) return std::aligned_alloc(kAlignment, bytes);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
#if defined(MADV_HUGEPAGE)
  if (bytes >= kHugePage) madvise(memory, bytes, MADV_HUGEPAGE);  // a wish: whole pages inside the block
#endif
  return memory;
#endif
}

}  // namespace

float* allocate_floats(size_t floats) {
  const bool fits = floats < SIZE_MAX / sizeof(float) - 2 * kAlignment;
  const size_t bytes =
      fits ? (floats * sizeof(float) + kAlignment - 1) / kAlignment * kAlignment + kAlignment : 0;
  char* memory = fits ? static_cast<char*>(allocate(bytes)) : nullptr;
  check(memory != nullptr, ErrorCode::kOutOfMemory, "expected ", (floats >> 18) + 1,
        " MiB of memory but the system has no more; use smaller batches or a smaller model");
  reinterpret_cast<Header*>(memory)->bytes = bytes;
  return reinterpret_cast<float*>(memory + kAlignment);
}

void release_floats(float* memory) {
  if (!memory) return;
  char* block = reinterpret_cast<char*>(memory) - kAlignment;
#if defined(_WIN32)
  _aligned_free(block);
#else
  const size_t bytes = reinterpret_cast<Header*>(block)->bytes;
  if (bytes < kMappedBytes)
    std::free(block);
  else
    munmap(block, bytes);
#endif
}

}  // namespace albert::cpu
