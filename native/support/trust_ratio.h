// LAMB's trust ratio, the same on CPU and GPU.
#pragma once

#include <cmath>

#include "support/host_device.h"

namespace albert {

// Of a tensor's weights and of their updates.
struct SquaredNorms {
  double weight = 0, update = 0;
};

// |w| / |u|, or 1 where either is 0: You et al. 2019 (arXiv 1904.00962), algorithm 2, with the identity for
// phi.
ALBERT_HOST_DEVICE inline double trust_ratio(const SquaredNorms& norms) {
  return norms.weight > 0 && norms.update > 0 ? std::sqrt(norms.weight / norms.update) : 1;
}

}  // namespace albert
