// Fresh values of parameters, as the ALBERT release draws them.
#pragma once

#include <cstdint>

#include "config.h"
#include "weights.h"

namespace albert {

// Truncated normal of initializer_range for matrices and tables, 1 for the weights of LayerNorm, 0 for
// biases. `stream` numbers the parameter. out: [parameter.count()]
void draw_parameter(const Config& config, const Parameter& parameter, uint64_t seed, uint64_t stream,
                    float* out);

}  // namespace albert
