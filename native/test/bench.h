// What a device does with ALBERT-base, without Node: for machines that have a GPU and no Node.
#pragma once

#include <string>

namespace albert::test {

// Times products, the operations of a block, the whole encoder and a training step on a device, and prints a
// line of JSON each: name, dtype, milliseconds (median), 10^12 operations and tokens a second. `most_tokens`
// leaves larger batches out; `dtype` is 'fp32', 'bf16' or empty for both.
void bench(const std::string& device, int64_t most_tokens, const std::string& dtype);

}  // namespace albert::test
