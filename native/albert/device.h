// What a model computes on and how exactly, chosen by name.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>

#include "ops.h"

namespace albert {

const char* to_string(Precision precision);
// 'fp32', 'bf16' or 'int8', of which `allowed` may be asked for. Throws Error{kInvalidArgument}.
Precision precision_of(const std::string& dtype, std::initializer_list<Precision> allowed);

// device: 'cpu'; 'cuda', the first GPU, or 'cuda:1' and so on; 'auto', the first GPU where there is one that
// computes in this precision, else the CPU. isa and threads are those of make_cpu_backend. Throws
// Error{kDevice} when the device is not there.
std::unique_ptr<Backend> make_backend(const std::string& device, Precision precision, const std::string& isa,
                                      int threads);

}  // namespace albert
