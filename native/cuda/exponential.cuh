// Powers of two, reciprocals, and a bound that NaN passes, by one instruction of the GPU each.
#pragma once

#if defined(ALBERT_CUDA_EMULATED)
#include "device_exponential.h"
#else

namespace albert::cuda {

// 2^x within 2^-22 of it; 0 for what is below the smallest normal number.
__device__ inline float power_of_two(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}
// 1 / x within 2^-23 of it, for x of 1 and more.
__device__ inline float reciprocal(float x) {
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

// The larger of two values, NaN where one of them is: fmaxf() gives the other then.
__device__ inline float max_or_nan(float x, float y) {
  float result;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(x), "f"(y));
  return result;
}

}  // namespace albert::cuda
#endif
