// A GPU's memory where it ends.
#include "backends.h"

namespace albert::test {

// On the emulation's second device the weights of this layer have room, and its bias has not. What was taken
// for it is there for others again.
TEST(a_layer_that_does_not_fit_takes_nothing) {
  const int64_t out = 2500000;
  const size_t most = 3 << 20;  // floats, of 4 Mi that there are
  const std::vector<float> weight(static_cast<size_t>(out), 1.0f);
  for (const Processor& processor : processors()) {
    if (processor.device == "cpu") continue;
    const std::unique_ptr<Backend> backend = make_backend(processor.device, Precision::kFp32, "", 1);
    const auto pack = [&] { backend->pack({{weight.data(), nullptr, out}}, 1, {Precision::kFp32, {}, {}}); };
    const bool refused = refuses(pack, ErrorCode::kOutOfMemory);
    float* memory = nullptr;
    EXPECT(!refuses([&] { memory = backend->allocate(most); }, ErrorCode::kOutOfMemory), "on ",
           processor.name(), refused ? " where the layer did not fit" : "");
    backend->release(memory);
  }
}

}  // namespace albert::test
