// Register-only loops that keep the arithmetic units of each instruction set as busy as they can be.
#pragma once

#include <cstdint>

namespace albert::cpu {

// run(rounds) performs rounds * operations multiplies and adds, each counted; null: no such instruction.
struct PeakLoop {
  void (*run)(int64_t rounds) = nullptr;
  double operations = 0;  // of one round
};

struct PeakLoops {
  PeakLoop fp32, bf16, int8;
};

// The fastest loops that this processor runs, whatever ALBERT_CPU_ISA says; with or without AVX-512.
PeakLoops peak_loops(bool with_avx512);

}  // namespace albert::cpu
