// The device that a model computes on, chosen by name.
#pragma once

#include <memory>
#include <string>

#include "ops.h"

namespace albert {

// device: 'cpu'; 'cuda', the first GPU, or 'cuda:1' and so on; 'auto', the first GPU where there is one that
// computes in this precision, else the CPU. isa and threads are those of make_cpu_backend. Throws
// Error{kDevice} when the device is not there.
std::unique_ptr<Backend> make_backend(const std::string& device, Precision precision, const std::string& isa,
                                      int threads);

}  // namespace albert
