// GELU as cubic pieces, for vector units that look up a piece's coefficients in a register.
#pragma once

namespace albert::cpu {

// gelu(x) = max(x, 0) - g(|x|), where g(a) = a Phi(-a), Phi by its erf or its tanh form. Piece p holds for
// round(kPerUnit a) = p, and g ends with the last one: off by at most 7e-6, and by 2e-4 of g below 3.
struct GeluPieces {
  static constexpr int kCount = 16;
  static constexpr float kPerUnit = 3, kEnd = 15.49f / kPerUnit;
  alignas(64) float coefficients[4][kCount];  // of a^0 to a^3
};

extern const GeluPieces kErfPieces, kTanhPieces;

}  // namespace albert::cpu
