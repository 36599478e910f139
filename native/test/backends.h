// What tests of operations share: fresh random inputs, poison, and every backend of this machine.
#pragma once

#include <cstdio>
#include <limits>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "albert/device.h"
#include "ops.h"
#include "support/error.h"
#include "test.h"

namespace albert::test {

constexpr float kPoison = std::numeric_limits<float>::quiet_NaN();

inline std::mt19937& random_engine() {
  static std::mt19937 engine((std::printf("seed of random operands %u\n", random_seed()), random_seed()));
  return engine;
}

inline std::vector<float> random_floats(int64_t count, float deviation = 1) {
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(random_engine());
  return values;
}

// What computes: an instruction set of this machine, or a GPU.
struct Processor {
  std::string device, isa;  // as make_backend() takes them
  bool has(Precision precision) const { return device == "cpu" || precision != Precision::kInt8; }
  const std::string& name() const { return device == "cpu" ? isa : device; }
};

// Those that --backend asks for: all by default. The first GPU of each compute capability, or their
// emulation, where this build has any.
inline std::vector<Processor> processors() {
  std::vector<Processor> all;
  if (tests_backend("cpu"))
    for (const std::string& isa : cpu_info().available) all.push_back({"cpu", isa});
  if (!tests_backend("cuda")) return all;
  try {
    std::set<std::pair<int, int>> capabilities;
    const std::vector<CudaDevice> gpus = cuda_devices();
    for (size_t i = 0; i < gpus.size(); ++i)
      if (capabilities.insert({gpus[i].major, gpus[i].minor}).second)
        all.push_back({i == 0 ? "cuda" : str("cuda:", i), ""});
  } catch (const Error&) {
  }
  if (all.empty()) throw Skip{"no GPU"};
  return all;
}

// 'cpu' and 'cuda', those of them that --backend asks for and this build has.
inline std::vector<std::string> devices() {
  std::vector<std::string> all;
  for (const Processor& processor : processors())
    if (all.empty() || all.back() != processor.device) all.push_back(processor.device);
  return all;
}

// Runs a test body on every processor and precision, on CPUs with one thread and with three.
template <typename Body>
void on_every_backend(const std::vector<Precision>& precisions, const Body& body) {
  for (const Processor& processor : processors())
    for (Precision precision : precisions)
      for (int threads : {1, 3}) {
        if (!processor.has(precision) || (processor.device != "cpu" && threads > 1)) continue;
        const std::unique_ptr<Backend> backend =
            make_backend(processor.device, precision, processor.isa, threads);
        BackendLimits limits;
        limits.precision = precision;
        limits.max_width = 320;
        limits.max_length = 200;
        limits.head_size = 70;
        limits.training = precision != Precision::kInt8;
        backend->reserve(limits);
        body(*backend, precision,
             str(to_string(precision), " ", processor.name(), " with ", threads, " threads"));
      }
}

}  // namespace albert::test
