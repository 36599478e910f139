// LAMB and AdamW as the ALBERT release computes them, and the schedule of their learning rate.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ops.h"
#include "parameters.h"

namespace albert {

struct OptimizerOptions {
  enum class Kind { kLamb, kAdamw };
  Kind kind = Kind::kLamb;
  double learning_rate = 0.00176;
  int64_t warmup_steps = 0;
  int64_t total_steps = 1;
  double power = 1;  // of the decay
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-6;
  double weight_decay = 0.01;
  double max_grad_norm = 1;  // 0: gradients are not clipped
  // For parameters whose names begin with `prefix`; the first rule that fits counts, and none means 1 and 0.
  struct RateRule {
    std::string prefix;
    double factor = 1;  // of the learning rate
    int64_t from = 0;   // the first step that changes them; their moments follow from there on
  };
  std::vector<RateRule> rates;
};

// The rate of the update that follows `step` others: it rises from 0 over the warm-up, then is learning_rate
// (1 - step / total)^power, as run_pretraining.py has it: the decay's clock is not moved by the warm-up.
double learning_rate_at(const OptimizerOptions& options, int64_t step);

class Optimizer {
 public:
  Optimizer(const OptimizerOptions& options, ParameterSet& weights, ParameterSet& gradients,
            Backend& backend);

  struct Step {
    double grad_norm = 0;  // Euclidean, over all parameters, before clipping
    double learning_rate = 0;
  };
  // The update number `step` from gradients summed over `accumulated` micro-batches, which it consumes.
  // A gradient whose norm is not finite changes nothing; its norm is returned.
  Step update(int64_t step, int64_t accumulated);

  ParameterSet& first() { return first_; }
  ParameterSet& second() { return second_; }

 private:
  OptimizerOptions options_;
  ParameterSet &weights_, &gradients_;
  ParameterSet first_, second_;                    // moments
  std::vector<bool> excluded_;                     // from decay and from LAMB's trust ratio
  std::vector<OptimizerOptions::RateRule> rates_;  // of each parameter
  Backend& backend_;
};

}  // namespace albert
