// Packing and the three products of a linear layer in training.
#include "linear.h"

namespace albert {

TrainingLinear::TrainingLinear(const std::vector<std::string>& names, int64_t in, int64_t out,
                               Precision precision, ParameterSet& weights, ParameterSet& gradients,
                               Backend& backend)
    : backend_(backend) {
  for (const std::string& name : names) {
    const std::string weight = name + ".weight", bias = name + ".bias";
    sources_.push_back({weights.of(weight), weights.of(bias), out});
    gradients_.push_back({gradients.of(weight), gradients.of(bias), out});
  }
  pack(in, precision);
}

TrainingLinear::TrainingLinear(const std::string& weight, const std::string& bias, int64_t in, int64_t out,
                               Precision precision, ParameterSet& weights, ParameterSet& gradients,
                               Backend& backend)
    : backend_(backend),
      sources_{{weights.of(weight), bias.empty() ? nullptr : weights.of(bias), out}},
      gradients_{{gradients.of(weight), bias.empty() ? nullptr : gradients.of(bias), out}} {
  pack(in, precision);
}

void TrainingLinear::pack(int64_t in, Precision precision) {
  forward_ = backend_.pack(sources_, in, {precision, {}, {}});
  backward_ = backend_.pack_transposed(sources_, in, precision);
}

void TrainingLinear::repack() {
  backend_.repack(*forward_, sources_);
  backend_.repack(*backward_, sources_);
}

void TrainingLinear::forward(float* y, int64_t y_stride, const float* x, int64_t x_stride,
                             int64_t rows) const {
  backend_.linear_forward(y, y_stride, x, x_stride, *forward_, Activation::kIdentity, rows);
}

void TrainingLinear::forward_activation(float* y, float* sum, const float* x, Activation activation,
                                        int64_t rows) const {
  backend_.linear_activation_forward(y, sum, x, *forward_, activation, rows);
}

void TrainingLinear::backward_input(float* dx, int64_t dx_stride, const float* dy, int64_t dy_stride,
                                    bool accumulate, int64_t rows) const {
  backend_.linear_backward_input(dx, dx_stride, dy, dy_stride, *backward_, accumulate, rows);
}

void TrainingLinear::backward_activation(float* dx, float* y, const float* dy, const float* x,
                                         Activation activation, int64_t rows) const {
  backend_.linear_activation_backward(dx, y, dy, *backward_, x, activation, rows);
}

void TrainingLinear::backward_weights(const float* dy, int64_t dy_stride, const float* x, int64_t x_stride,
                                      int64_t rows) const {
  backend_.linear_backward_weights(gradients_, dy, dy_stride, x, x_stride, forward_->in, forward_->precision,
                                   rows);
}

}  // namespace albert
