// The cross-entropy of one row, the same on CPU and GPU.
#pragma once

#include <cmath>

#include "support/host_device.h"

namespace albert {

// -log softmax of a label that lies `below` the largest logit, where the exponentials of the other logits
// minus the largest add up to `others`. log(1 + others / own) keeps its digits where the label is nearly
// certain; the other form has them where the label's own exponential has not.
ALBERT_HOST_DEVICE inline double softmax_loss(double below, double others) {
  constexpr double kOwnIsNothing = 80;  // e^-80 is below the last digit of a sum that holds a 1
  return below > kOwnIsNothing ? below + std::log(others) : std::log1p(others / std::exp(-below));
}

}  // namespace albert
