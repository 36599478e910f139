// The pieces of GELU against its formula, and what an epilogue makes of values that no piece covers.
#include <cmath>

#include "activations.h"
#include "backends.h"
#include "cpu/gelu_pieces.h"

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

// The inner value of one column is what the bias says; a row of zeros lets nothing else through.
TEST(gelu_keeps_what_is_no_number) {
  const int64_t hidden = 48, inner = 64;
  const std::vector<float> nothing(static_cast<size_t>(hidden * inner), 0.0f), ones(hidden, 1.0f),
      zeros(static_cast<size_t>(hidden), 0.0f);
  std::vector<float> first(nothing);
  for (int64_t o = 0; o < hidden; ++o) first[o * inner] = static_cast<float>(o);
  for (const Processor& processor : processors()) {
    if (processor.device != "cpu") continue;
    for (const Precision precision : {Precision::kFp32, Precision::kBf16})
      for (const Activation activation : {Activation::kGelu, Activation::kGeluNew})
        for (const float value : {kPoison, std::numeric_limits<float>::infinity(), -1e30f, 40.0f}) {
          const std::unique_ptr<Backend> backend =
              make_backend(processor.device, precision, processor.isa, 1);
          backend->reserve({precision, inner, 16, 16, false});
          std::vector<float> bias(static_cast<size_t>(inner), 0.0f);
          bias[0] = value;
          const auto up = backend->pack({{nothing.data(), bias.data(), inner}}, hidden, {precision, {}, {}}),
                     down = backend->pack({{first.data(), zeros.data(), hidden}}, inner, {precision, {}, {}});
          const size_t floats = static_cast<size_t>(8 * row_stride(hidden));
          float* const x = backend->allocate(floats);
          backend->clear(x, floats);
          float* const gain = backend->allocate(hidden);
          float* const shift = backend->allocate(hidden);
          backend->upload(gain, ones.data(), hidden);
          backend->upload(shift, zeros.data(), hidden);
          backend->feed_forward_forward(x, *up, activation, *down, {gain, shift, 1e-12f}, 1);
          std::vector<float> row(static_cast<size_t>(hidden));
          backend->download(row.data(), x, row.size());
          const std::string where =
              str("GELU of ", value, " in ", to_string(precision), " on ", processor.name());
          const bool finite = value < 1e20f;  // of the result: NaN compares as false
          for (const float y : row) EXPECT(finite == std::isfinite(y), str(where, " gave ", y));
          for (float* memory : {x, gain, shift}) backend->release(memory);
        }
  }
}

}  // namespace albert::test
