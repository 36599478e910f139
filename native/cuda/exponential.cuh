// Powers of two and reciprocals, by one instruction of the GPU each.
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

}  // namespace albert::cuda
#endif
