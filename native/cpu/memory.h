// Aligned memory for weights and activations that goes back to the system the moment it is released.
#pragma once

#include <cstddef>

namespace albert::cpu {

// 64-byte aligned, uninitialised. Throws Error{kOutOfMemory} that names the size.
float* allocate_floats(size_t floats);
void release_floats(float* memory);  // null is fine

}  // namespace albert::cpu
