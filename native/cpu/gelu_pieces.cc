// Fits the pieces when the library is loaded: cubics through four Chebyshev nodes of each.
#include "cpu/gelu_pieces.h"

#include <algorithm>
#include <cmath>

namespace albert::cpu {
namespace {

constexpr int kNodes = 4;
constexpr double kPi = 3.14159265358979323846;

double erf_part(double a) { return a * 0.5 * std::erfc(a / std::sqrt(2.0)); }
double tanh_part(double a) {
  return a * 0.5 * (1 - std::tanh(std::sqrt(2 / kPi) * (a + 0.044715 * a * a * a)));
}

GeluPieces fit(double (*part)(double)) {
  GeluPieces pieces;
  for (int piece = 0; piece < GeluPieces::kCount; ++piece) {
    const double begin = std::max(0.0, piece - 0.5) / GeluPieces::kPerUnit;
    const double end = (piece + 0.5) / GeluPieces::kPerUnit;
    double node[kNodes], difference[kNodes];
    for (int i = 0; i < kNodes; ++i) {
      node[i] = (begin + end) / 2 + (end - begin) / 2 * std::cos(kPi * (2 * i + 1) / (2 * kNodes));
      difference[i] = part(node[i]);
    }
    for (int order = 1; order < kNodes; ++order)
      for (int i = kNodes - 1; i >= order; --i)
        difference[i] = (difference[i] - difference[i - 1]) / (node[i] - node[i - order]);
    // Newton's form, multiplied out from its innermost bracket.
    double power[kNodes] = {difference[kNodes - 1]};
    for (int i = kNodes - 2; i >= 0; --i) {
      for (int k = kNodes - 1; k > 0; --k) power[k] = power[k - 1] - node[i] * power[k];
      power[0] = difference[i] - node[i] * power[0];
    }
    for (int k = 0; k < kNodes; ++k) pieces.coefficients[k][piece] = static_cast<float>(power[k]);
  }
  return pieces;
}

}  // namespace

const GeluPieces kErfPieces = fit(erf_part), kTanhPieces = fit(tanh_part);

}  // namespace albert::cpu
