// Fuzzes config.json: what is accepted must describe a model whose sizes can be computed without overflow.
#include "albert/config.h"
#include "albert/weights.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    albert::Config config = albert::Config::parse({reinterpret_cast<const char*>(data), size}, "fuzz");
    const int32_t last = config.num_hidden_layers - 1;
    if (config.attention_group(last) >= config.attention_groups()) __builtin_trap();
    if (config.feed_forward_group(last) >= config.feed_forward_groups()) __builtin_trap();
    if (config.head_size() < 1) __builtin_trap();
    constexpr int32_t kMaxGroups = 64;  // enough to see every kind of name without slowing the search
    if (config.num_hidden_groups * config.inner_group_num > kMaxGroups) return 0;
    int64_t bytes = 0;
    for (const albert::Parameter& parameter : albert::Weights::describe(config, config.head)) {
      if (parameter.count() < 1) __builtin_trap();
      bytes += parameter.count() * static_cast<int64_t>(sizeof(float));
    }
    if (bytes < 1) __builtin_trap();
  } catch (const albert::Error&) {
  }
  return 0;
}
