// A linear layer in training: packed for both directions from weights that change, with its gradients.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ops.h"
#include "parameters.h"

namespace albert {

class TrainingLinear {
 public:
  // The layers called `names` (weight and bias), each of width `in` to `out`, stacked along the output.
  TrainingLinear(const std::vector<std::string>& names, int64_t in, int64_t out, Precision precision,
                 ParameterSet& weights, ParameterSet& gradients, Backend& backend);
  // A layer whose weight and bias have names of their own; an empty one: no bias.
  TrainingLinear(const std::string& weight, const std::string& bias, int64_t in, int64_t out,
                 Precision precision, ParameterSet& weights, ParameterSet& gradients, Backend& backend);

  // Leaves the gradient of the bias of layer i at zero: for one that shifts everything a softmax compares,
  // whose gradient is zero in theory and would be rounding alone.
  void without_bias_gradient(size_t i) { gradients_[i].bias = nullptr; }
  void repack();  // after the weights changed
  const PackedLinear& packed() const { return *forward_; }

  // y = x W^T + b
  void forward(float* y, int64_t y_stride, const float* x, int64_t x_stride, int64_t rows) const;
  // y = activation(sum), sum = x W^T + b, as the backend's linear_activation_forward().
  void forward_activation(float* y, float* sum, const float* x, Activation activation, int64_t rows) const;
  // dx = dy W, or dx += dy W
  void backward_input(float* dx, int64_t dx_stride, const float* dy, int64_t dy_stride, bool accumulate,
                      int64_t rows) const;
  // dx = (dy W) activation'(x) and y = activation(x), as the backend's linear_activation_backward().
  void backward_activation(float* dx, float* y, const float* dy, const float* x, Activation activation,
                           int64_t rows) const;
  void backward_weights(const float* dy, int64_t dy_stride, const float* x, int64_t x_stride,
                        int64_t rows) const;

 private:
  void pack(int64_t in, Precision precision);

  Backend& backend_;
  std::vector<LinearSource> sources_;
  std::vector<LinearGradient> gradients_;
  std::unique_ptr<PackedLinear> forward_, backward_;
};

}  // namespace albert
