// Errors of the CUDA runtime as errors of the library.
#pragma once

#include <cuda_runtime.h>

#include "support/error.h"

namespace albert::cuda {

// Throws Error{kOutOfMemory | kDevice} unless the call succeeded; `what` says what it was for.
inline void check_cuda(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // forgets it
  check(error != cudaErrorMemoryAllocation, ErrorCode::kOutOfMemory, "the GPU has no more memory for ", what,
        "; use smaller batches or a smaller model, or free memory that other processes hold");
  throw Error(ErrorCode::kDevice, str("the GPU failed at ", what, ": ", cudaGetErrorString(error)));
}

}  // namespace albert::cuda
