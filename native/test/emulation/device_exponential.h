// The instructions of native/cuda/exponential.cuh for the emulation.
#pragma once

#include <cfloat>
#include <cmath>

namespace albert::cuda {

inline float power_of_two(float x) {
  const float result = std::exp2(x);
  return result < FLT_MIN ? 0 : result;
}
inline float reciprocal(float x) { return 1 / x; }
inline float max_or_nan(float x, float y) { return std::isnan(x) || x > y ? x : y; }

}  // namespace albert::cuda
