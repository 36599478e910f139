// The cross-entropy of a yes or no, told by one logit.
#pragma once

#include <algorithm>
#include <cmath>

namespace albert {

// -t log p - (1 - t) log(1 - p) for p = 1 / (1 + exp(-z)), written so that nothing overflows.
inline double binary_cross_entropy(double z, double target) {
  return std::log1p(std::exp(-std::fabs(z))) + std::max(z, 0.0) - z * target;
}
inline double binary_cross_entropy_slope(double z, double target) {  // in z
  return 1 / (1 + std::exp(-z)) - target;
}

}  // namespace albert
