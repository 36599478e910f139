// Marks inline functions that kernels of the GPU call too.
#pragma once

#if defined(__CUDACC__)
#define ALBERT_HOST_DEVICE __host__ __device__
#else
#define ALBERT_HOST_DEVICE
#endif
