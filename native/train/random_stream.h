// A numbered sequence of draws from the counter-based generator, and a shuffle that needs no memory.
#pragma once

#include <cstdint>

#include "support/rng.h"

namespace albert {

// What a stream of draws is for; the purposes never share numbers.
enum class Draws : uint64_t { kPlan = 1, kInstance = 2, kShuffle = 3, kSplit = 4 };

class RandomStream {
 public:
  // Epochs and items beyond 2^20 and 2^40 would meet other streams; no corpus comes near them.
  RandomStream(uint64_t seed, Draws purpose, uint64_t epoch, uint64_t item)
      : seed_(seed), stream_(static_cast<uint64_t>(purpose) << 60 | (epoch & 0xFFFFF) << 40 | item) {}

  uint32_t next() {
    if (at_ == 4) block_ = philox(seed_, stream_, index_++), at_ = 0;
    return block_.word[at_++];
  }
  double unit() { return open_unit(next()); }

  // Uniform in [0, limit), by rejection so that no value is favoured.
  uint32_t below(uint32_t limit) {
    const uint32_t reject = (0u - limit) % limit;
    for (;;) {
      const uint64_t product = static_cast<uint64_t>(next()) * limit;
      if (static_cast<uint32_t>(product) >= reject) return static_cast<uint32_t>(product >> 32);
    }
  }

 private:
  uint64_t seed_, stream_, index_ = 0;
  Philox4 block_{};
  int at_ = 4;
};

// Where `index` of [0, size) stands in the shuffled order of an epoch: four Feistel rounds over the next even
// power of two, walked until the value is in range (Black and Rogaway, "Ciphers with arbitrary finite
// domains", 2002).
inline uint64_t shuffled(uint64_t seed, uint64_t epoch, uint64_t size, uint64_t index) {
  int half = 1;
  while (half < 32 && (uint64_t{1} << 2 * half) < size) ++half;
  const uint64_t mask = (uint64_t{1} << half) - 1;
  const uint64_t stream = static_cast<uint64_t>(Draws::kShuffle) << 60 | epoch;
  do {
    uint64_t left = index >> half, right = index & mask;
    for (uint64_t round = 0; round < 4; ++round) {
      const uint64_t mixed = left ^ (philox(seed, stream, round << 32 | right).word[0] & mask);
      left = right;
      right = mixed;
    }
    index = left << half | right;
  } while (index >= size);
  return index;
}

}  // namespace albert
