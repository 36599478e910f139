// Counter-based random numbers (Philox4x32-10): a pure function of key and counter, the same on CPU and GPU.
#pragma once

#include <stdint.h>

#include "support/host_device.h"

namespace albert {

struct Philox4 {
  uint32_t word[4];
};

// Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), section 4.3; constants of its
// reference code. Two calls that differ in any bit of seed or counter give independent numbers, so a caller
// numbers its draws instead of keeping a state: that makes results independent of threads and order.
ALBERT_HOST_DEVICE inline Philox4 philox(uint64_t seed, uint64_t stream, uint64_t index) {
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32);
  uint32_t c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
  for (int round = 0; round < 10; ++round) {
    uint64_t product0 = (uint64_t)0xD2511F53u * c0;
    uint64_t product1 = (uint64_t)0xCD9E8D57u * c2;
    c0 = (uint32_t)(product1 >> 32) ^ c1 ^ k0;
    c2 = (uint32_t)(product0 >> 32) ^ c3 ^ k1;
    c1 = (uint32_t)product1;
    c3 = (uint32_t)product0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  Philox4 out = {{c0, c1, c2, c3}};
  return out;
}

// A word as a double in (0, 1), safe to take the logarithm of.
ALBERT_HOST_DEVICE inline double open_unit(uint32_t word) {
  return ((double)word + 0.5) * (1.0 / 4294967296.0);
}

}  // namespace albert
