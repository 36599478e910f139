// What tests of operations share: fresh random inputs, poison, and every backend of this machine.
#pragma once

#include <cstdio>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "ops.h"
#include "support/error.h"

namespace albert::test {

constexpr float kPoison = std::numeric_limits<float>::quiet_NaN();

inline std::mt19937& random_engine() {
  static const unsigned seed = std::random_device{}();
  static std::mt19937 engine((std::printf("seed of random operands %u\n", seed), seed));
  return engine;
}

inline std::vector<float> random_floats(int64_t count, float deviation = 1) {
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(random_engine());
  return values;
}

inline const char* to_string(Precision precision) {
  return precision == Precision::kFp32 ? "fp32" : precision == Precision::kBf16 ? "bf16" : "int8";
}

// Runs a test body on every instruction set and precision with one thread and with three.
template <typename Body>
void on_every_backend(const std::vector<Precision>& precisions, const Body& body) {
  for (const std::string& isa : cpu_info().available)
    for (Precision precision : precisions)
      for (int threads : {1, 3}) {
        const std::unique_ptr<Backend> backend = make_cpu_backend(isa, threads);
        BackendLimits limits;
        limits.precision = precision;
        limits.max_width = 320;
        limits.max_length = 200;
        limits.head_size = 70;
        limits.training = precision != Precision::kInt8;
        backend->reserve(limits);
        body(*backend, precision, str(to_string(precision), " ", isa, " with ", threads, " threads"));
      }
}

}  // namespace albert::test
