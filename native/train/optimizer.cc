// Clipping, moments, trust ratios and the step.
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
  const std::vector<Parameter>& parameters = weights_.all();
  double squares = 0;
  for (size_t i = 0; i < parameters.size(); ++i)
    squares += backend_.squared_norm(gradients_.slice(i), parameters[i].count());
  Step result;
  result.grad_norm = std::sqrt(squares) / static_cast<double>(accumulated);
  result.learning_rate = learning_rate_at(options_, step);
  if (!std::isfinite(result.grad_norm)) return result;

  double scale = 1 / static_cast<double>(accumulated);
  if (options_.max_grad_norm > 0)
    scale *= options_.max_grad_norm / std::max(options_.max_grad_norm, result.grad_norm);
  MomentRule rule;
  rule.beta1 = static_cast<float>(options_.beta1);
  rule.beta2 = static_cast<float>(options_.beta2);
  rule.epsilon = static_cast<float>(options_.epsilon);
  rule.gradient_scale = static_cast<float>(scale);
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (step < rates_[i].from) continue;
    rule.decay = excluded_[i] ? 0 : static_cast<float>(options_.weight_decay);
    const int64_t count = parameters[i].count();
    const Backend::Norms norms = backend_.moments_update(gradients_.slice(i), first_.slice(i),
                                                         second_.slice(i), weights_.slice(i), rule, count);
    // You et al. 2019 (arXiv 1904.00962), algorithm 2, with the identity for phi.
    double trust = 1;
    if (options_.kind == OptimizerOptions::Kind::kLamb && !excluded_[i] && norms.weight > 0 &&
        norms.update > 0)
      trust = std::sqrt(norms.weight / norms.update);
    const double rate = trust * result.learning_rate * rates_[i].factor;
    backend_.descend(weights_.slice(i), gradients_.slice(i), static_cast<float>(rate), count);
  }
  return result;
}

}  // namespace albert
