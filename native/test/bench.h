// What a device does with ALBERT-base, without Node: for machines that have a GPU and no Node.
#pragma once

#include <string>

namespace albert::test {

// Times products, attention, the whole encoder and a training step on a device, fp32 and bf16, and prints a
// line of JSON each: name, dtype, milliseconds (median), and 10^12 operations or 10^9 bytes a second.
// `most_tokens` leaves larger batches out.
void bench(const std::string& device, int64_t most_tokens);

}  // namespace albert::test
