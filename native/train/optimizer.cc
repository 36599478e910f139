// Clipping, the schedule, and what each tensor takes from them.
#include "optimizer.h"

#include <algorithm>
#include <cmath>

namespace albert {
namespace {

// By substring, as the release excludes them; 'bias' also catches the output bias of the language head.
bool is_excluded(const std::string& name) {
  for (const char* part : {"LayerNorm", "layer_norm", "bias"})
    if (name.find(part) != std::string::npos) return true;
  return false;
}

OptimizerOptions::RateRule rate_of(const OptimizerOptions& options, const std::string& name) {
  for (const OptimizerOptions::RateRule& rule : options.rates)
    if (name.compare(0, rule.prefix.size(), rule.prefix) == 0) return rule;
  return {};
}

}  // namespace

double learning_rate_at(const OptimizerOptions& options, int64_t step) {
  const double s = static_cast<double>(step);
  if (step < options.warmup_steps)
    return options.learning_rate * s / static_cast<double>(options.warmup_steps);
  const double total = static_cast<double>(options.total_steps);
  return options.learning_rate * std::pow(1 - std::min(s, total) / total, options.power);
}

Optimizer::Optimizer(const OptimizerOptions& options, ParameterSet& weights, ParameterSet& gradients,
                     Backend& backend)
    : options_(options),
      weights_(weights),
      gradients_(gradients),
      first_(weights.all(), backend),
      second_(weights.all(), backend),
      backend_(backend) {
  for (const Parameter& parameter : weights.all()) {
    excluded_.push_back(is_excluded(parameter.name));
    rates_.push_back(rate_of(options, parameter.name));
  }
}

Optimizer::Step Optimizer::update(int64_t step, int64_t accumulated) {
  Step result;
  result.grad_norm = std::sqrt(backend_.squared_norm(gradients_.memory(), gradients_.memory_count())) /
                     static_cast<double>(accumulated);
  result.learning_rate = learning_rate_at(options_, step);
  if (!std::isfinite(result.grad_norm)) return result;

  double scale = 1 / static_cast<double>(accumulated);
  if (options_.max_grad_norm > 0)
    scale *= options_.max_grad_norm / std::max(options_.max_grad_norm, result.grad_norm);
  MomentRule rule;
  rule.beta1 = static_cast<float>(options_.beta1);
  rule.rest1 = static_cast<float>(1 - options_.beta1);
  rule.beta2 = static_cast<float>(options_.beta2);
  rule.rest2 = static_cast<float>(1 - options_.beta2);
  rule.epsilon = static_cast<float>(options_.epsilon);
  rule.gradient_scale = static_cast<float>(scale);
  std::vector<OptimizedTensor> tensors;
  for (size_t i = 0; i < weights_.all().size(); ++i) {
    if (step < rates_[i].from) continue;
    tensors.push_back({weights_.begin(i), weights_.all()[i].count(), result.learning_rate * rates_[i].factor,
                       excluded_[i] ? 0 : static_cast<float>(options_.weight_decay),
                       options_.kind == OptimizerOptions::Kind::kLamb && !excluded_[i]});
  }
  backend_.optimizer_step(
      {weights_.memory(), gradients_.memory(), first_.memory(), second_.memory(), weights_.memory_count()},
      rule, tensors);
  return result;
}

}  // namespace albert
