// A LayerNorm in training: its parameters, and where their gradients go.
#pragma once

#include <string>

#include "ops.h"
#include "parameters.h"

namespace albert {

struct TrainingNorm {
  // The norm called `name`: its weight and bias.
  TrainingNorm(const std::string& name, float epsilon, ParameterSet& parameters, ParameterSet& gradients)
      : weights{parameters.of(name + ".weight"), parameters.of(name + ".bias"), epsilon},
        gradient{gradients.of(name + ".weight"), gradients.of(name + ".bias")} {}

  LayerNormWeights weights;
  LayerNormGradient gradient;
};

}  // namespace albert
