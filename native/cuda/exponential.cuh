// Powers of two by one instruction of the GPU.
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

}  // namespace albert::cuda
#endif
