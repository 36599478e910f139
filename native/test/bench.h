// What a device does with ALBERT-base, without Node: for machines that have a GPU and no Node.
#pragma once

#include <cstdint>
#include <string>

namespace albert::test {

// Times products, the operations of a block, the whole encoder and a training step on a device, and prints a
// line of JSON each: name, dtype, milliseconds (median), 10^12 operations and tokens a second.
struct BenchOptions {
  std::string device;
  int64_t most_tokens;  // of a batch; larger ones are left out
  std::string dtype;    // 'fp32', 'bf16' or empty for both
  std::string of_name;  // what the name of a case must have
};
void bench(const BenchOptions& options);

}  // namespace albert::test
