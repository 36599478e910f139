// A training run: steps of gradient accumulation and optimisation, and a state that continues bit-exactly.
#pragma once

#include <string>
#include <vector>

#include "optimizer.h"
#include "training_model.h"

namespace albert {

struct StepResult {
  int64_t step = 0;  // updates made before this one
  Losses losses;     // means over the micro-batches
  double grad_norm = 0, learning_rate = 0;
  int64_t tokens = 0;  // real ones, of all micro-batches
};

class Trainer {
 public:
  Trainer(const Config& config, Head head, const Weights& weights, const TrainingOptions& training,
          const OptimizerOptions& optimizer, uint64_t seed);

  // One update from the mean gradient of the micro-batches. Throws Error{kDiverged} when a loss or the norm
  // of the gradient is not finite; weights and state are then those before the step.
  StepResult step(const std::vector<LabelledBatch>& batches);
  // The losses alone, without dropout. Throws Error{kDiverged} when they are not finite, as after an update
  // that spoilt the weights.
  Losses evaluate(const LabelledBatch& batch);

  // Writes weights, moments and counters to one file, with `note`, which restore() gives back. The old file
  // stays until the new one is whole.
  void save(const std::string& path, const std::string& note);
  // Continues from a saved file of the same model. Throws Error{kCheckpoint}.
  void restore(const std::string& path);
  // The note of a saved file.
  static std::string note_of(const std::string& path);

  // Of weights, gradients, both moments and the activations of the largest batch so far.
  size_t memory_bytes();
  TrainingModel& model() { return model_; }

 private:
  TrainingModel model_;
  Optimizer optimizer_;
  uint64_t seed_;
  int64_t steps_ = 0;
  int64_t passes_ = 0;  // forward passes with dropout, which their draws are numbered by
};

}  // namespace albert
