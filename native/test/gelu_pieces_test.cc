// The pieces of GELU against its formula.
#include <cmath>

#include "activations.h"
#include "cpu/gelu_pieces.h"
#include "test.h"

namespace albert::test {
namespace {

// max(x, 0) - g(|x|) as an epilogue computes it.
double of_pieces(const cpu::GeluPieces& pieces, float x) {
  const float a = std::min(std::fabs(x), cpu::GeluPieces::kEnd);
  const long piece = std::lrintf(a * cpu::GeluPieces::kPerUnit);
  EXPECT(piece >= 0 && piece < cpu::GeluPieces::kCount, str("piece ", piece, " of ", x));
  float g = pieces.coefficients[3][piece];
  for (int power = 2; power >= 0; --power) g = std::fma(g, a, pieces.coefficients[power][piece]);
  return std::max(x, 0.0f) - g;
}

}  // namespace

TEST(gelu_of_pieces) {
  const struct {
    const cpu::GeluPieces& pieces;
    Activation activation;
  } forms[] = {{cpu::kErfPieces, Activation::kGelu}, {cpu::kTanhPieces, Activation::kGeluNew}};
  for (const auto& form : forms)
    for (int i = -80000; i <= 80000; ++i) {
      const float x = static_cast<float>(i) * 1e-4f;
      const double truth = activate(form.activation, x);
      const double error = std::fabs(of_pieces(form.pieces, x) - truth);
      EXPECT(error <= 7e-6,
             str("activation ", static_cast<int>(form.activation), " of ", x, " is off by ", error));
      if (x > -3 && x < -0.01)
        EXPECT(error <= 2e-4 * std::fabs(truth), str("of ", x, " relatively by ", error / std::fabs(truth)));
    }
}

}  // namespace albert::test
