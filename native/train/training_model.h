// A model in training: its own weights, their gradients, and one forward and backward pass over a batch.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "albert/config.h"
#include "albert/weights.h"
#include "encoder.h"
#include "labels.h"
#include "losses.h"
#include "parameters.h"

namespace albert {

struct TrainingOptions {
  std::string dtype = "fp32";    // fp32 or bf16: the encoder's products; all else is fp32
  bool recompute = false;        // blocks run again in backward: less memory, one more forward
  float classifier_dropout = 0;  // before a classifier; fine-tuning
  // Of a classifier's labels: the loss is their weighted mean. Empty for equal ones.
  std::vector<float> class_weights;
  // For the logits of masked words, [words, V]: more words than it holds take turns (128 at least).
  int64_t logit_bytes = 128 << 20;
  std::string device = "cpu";  // as make_backend() takes it
  std::string isa;
  int threads = 0;
};

class TrainingModel {
 public:
  // Copies the weights. Throws Error{kInvalidArgument} for what cannot be trained.
  TrainingModel(const Config& config, Head head, const Weights& weights, const TrainingOptions& options);
  TrainingModel(const TrainingModel&) = delete;  // its parts refer to its configuration
  TrainingModel& operator=(const TrainingModel&) = delete;

  // Runs the batch and adds to the gradients. `dropout` as none() computes exact gradients. Throws what
  // LabelledBatch::validate throws.
  Losses forward_backward(const LabelledBatch& batch, const DropoutPlaces& dropout);
  // The losses alone, without dropout; gradients stay as they are.
  Losses evaluate(const LabelledBatch& batch);

  void weights_changed();  // must follow every change of weights()
  ParameterSet& weights() { return *weights_; }
  ParameterSet& gradients() { return *gradients_; }
  Backend& backend() { return *backend_; }
  // Of the largest batch so far.
  size_t activation_bytes() const {
    return encoder_->activation_bytes() + heads_->activation_bytes() + workspace_->bytes();
  }

 private:
  Losses run(const LabelledBatch& batch, const DropoutPlaces& dropout, bool backward);

  Config config_;
  Head head_;
  float classifier_dropout_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<ParameterSet> weights_, gradients_;
  std::unique_ptr<TrainingEncoder> encoder_;
  std::unique_ptr<TrainingHeads> heads_;
  std::unique_ptr<Workspace> workspace_;  // the gradient of the last hidden state
};

}  // namespace albert
