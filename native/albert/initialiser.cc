// Counter-based draws of a truncated normal.
#include "initialiser.h"

#include <algorithm>
#include <cmath>

#include "support/rng.h"

namespace albert {
namespace {

// 'LayerNorm.weight' and 'full_layer_layer_norm.weight'.
bool is_norm_weight(std::string_view name) {
  constexpr std::string_view kEnd = "orm.weight";
  return name.size() >= kEnd.size() && name.substr(name.size() - kEnd.size()) == kEnd;
}

// Normal of the given deviation, redrawn beyond two deviations as TF1's truncated_normal_initializer does.
// Every tensor has its own stream of the seed, so its values depend neither on the other tensors nor on the
// order of drawing.
void draw_truncated_normal(float* out, int64_t count, float deviation, uint64_t seed, uint64_t stream) {
  constexpr double kPi = 3.14159265358979323846;
  constexpr double kBound = 2;
  int64_t drawn = 0;
  for (uint64_t block = 0; drawn < count; ++block) {
    Philox4 random = philox(seed, stream, block);
    for (int pair = 0; pair < 4; pair += 2) {  // Box and Muller (1958)
      double radius = std::sqrt(-2 * std::log(open_unit(random.word[pair])));
      double angle = 2 * kPi * open_unit(random.word[pair + 1]);
      for (double normal : {radius * std::cos(angle), radius * std::sin(angle)})
        if (std::abs(normal) <= kBound && drawn < count)
          out[drawn++] = static_cast<float>(normal * deviation);
    }
  }
}

}  // namespace

void draw_parameter(const Config& config, const Parameter& parameter, uint64_t seed, uint64_t stream,
                    float* out) {
  if (parameter.shape.size() == 2)
    draw_truncated_normal(out, parameter.count(), config.initializer_range, seed, stream);
  else
    std::fill_n(out, parameter.count(), is_norm_weight(parameter.name) ? 1.0f : 0.0f);
}

}  // namespace albert
