// Steps, and the file that a run continues from.
#include "trainer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>

#include "support/error.h"
#include "support/file_map.h"
#include "support/safetensors.h"

namespace albert {
namespace {

constexpr const char* kNote = "note";
constexpr const char* kCounters = "counters";  // steps, passes
constexpr const char* kAnotherTrainings =
    "it is not the state of a training of this configuration: continue from one of the same model, or start "
    "anew";

StoredTensor stored(std::string name, DType dtype, std::vector<int64_t> shape, const void* data,
                    size_t bytes) {
  return {std::move(name), dtype, std::move(shape), static_cast<const uint8_t*>(data), bytes};
}

// The means over micro-batches, that of a part over those which have it.
Losses mean_losses(const std::vector<Losses>& batches) {
  Losses mean;
  std::vector<int> having;  // micro-batches, of each part
  for (const Losses& losses : batches) {
    mean.total += losses.total / static_cast<double>(batches.size());
    for (const LossPart& part : losses.parts) {
      const auto same = [&](const LossPart& other) { return other.name == part.name; };
      const auto found = std::find_if(mean.parts.begin(), mean.parts.end(), same);
      if (found == mean.parts.end()) {
        mean.parts.push_back(part);
        having.push_back(1);
        continue;
      }
      found->mean += part.mean;
      found->count += part.count;
      found->hits += part.hits;
      ++having[static_cast<size_t>(found - mean.parts.begin())];
    }
  }
  for (size_t i = 0; i < having.size(); ++i) mean.parts[i].mean /= having[i];
  return mean;
}

void check_finite(const char* what, double value, int64_t steps) {
  check(std::isfinite(value), ErrorCode::kDiverged, "training diverged after ", steps, " steps: the ", what,
        " is ", std::isnan(value) ? std::fabs(value) : value,  // whose sign means nothing
        "; use a smaller learning rate or a longer warm-up, and continue from the last checkpoint");
}

}  // namespace

Trainer::Trainer(const Config& config, Head head, const Weights& weights, const TrainingOptions& training,
                 const OptimizerOptions& optimizer, uint64_t seed)
    : model_(config, head, weights, training),
      optimizer_(optimizer, model_.weights(), model_.gradients(), model_.backend()),
      seed_(seed) {}

StepResult Trainer::step(const std::vector<LabelledBatch>& batches) {
  check(!batches.empty(), ErrorCode::kInvalidArgument, "expected at least one batch for a step");
  StepResult result;
  result.step = steps_;
  std::vector<Losses> losses;
  model_.gradients().clear();
  for (size_t i = 0; i < batches.size(); ++i) {
    const uint64_t pass = static_cast<uint64_t>(passes_) + i;
    losses.push_back(model_.forward_backward(batches[i], DropoutPlaces(seed_, pass)));
    const SequenceBatch& sequences = batches[i].sequences;
    result.tokens += static_cast<int64_t>(sequences.ids.size()) -
                     std::count(sequences.mask.begin(), sequences.mask.end(), 0);
  }
  result.losses = mean_losses(losses);
  check_finite("loss", result.losses.total, steps_);
  const Optimizer::Step update = optimizer_.update(steps_, static_cast<int64_t>(batches.size()));
  check_finite("norm of the gradient", update.grad_norm, steps_);
  result.grad_norm = update.grad_norm;
  result.learning_rate = update.learning_rate;
  model_.weights_changed();
  passes_ += static_cast<int64_t>(batches.size());
  ++steps_;
  return result;
}

Losses Trainer::evaluate(const LabelledBatch& batch) {
  const Losses losses = model_.evaluate(batch);
  check_finite("loss", losses.total, steps_);
  return losses;
}

void Trainer::save(const std::string& path, const std::string& note) {
  std::vector<StoredTensor> tensors;
  std::deque<ParameterValues> sets;
  const auto add = [&](const char* prefix, ParameterSet& set) {
    for (const Parameter& parameter : sets.emplace_back(set.values()).parameters)
      tensors.push_back(stored(prefix + parameter.name, DType::kF32, parameter.shape, parameter.data,
                               static_cast<size_t>(parameter.count()) * sizeof(float)));
  };
  add("weight.", model_.weights());
  add("first.", optimizer_.first());
  add("second.", optimizer_.second());
  const int64_t counters[] = {steps_, passes_};
  tensors.push_back(stored(kCounters, DType::kI64, {2}, counters, sizeof counters));
  tensors.push_back(stored(kNote, DType::kU8, {static_cast<int64_t>(note.size())}, note.data(), note.size()));
  write_safetensors(path, tensors);
}

void Trainer::restore(const std::string& path) {
  const TensorFile file = read_safetensors(FileMap::open(path, ErrorCode::kCheckpoint));
  const std::vector<int64_t> two{2};
  int64_t counters[2];
  std::memcpy(counters, file.require(kCounters, DType::kI64, &two, kAnotherTrainings).data, sizeof counters);
  // Everything is checked before anything changes.
  check(counters[0] >= 0 && counters[1] >= 0, ErrorCode::kCheckpoint, path,
        ": expected numbers of steps and passes but found ", counters[0], " and ", counters[1]);
  std::vector<std::pair<float*, const StoredTensor*>> copies;
  const auto plan = [&](const char* prefix, ParameterSet& set) {
    for (size_t i = 0; i < set.all().size(); ++i) {
      const Parameter& parameter = set.all()[i];
      copies.emplace_back(set.slice(i), &file.require(prefix + parameter.name, DType::kF32, &parameter.shape,
                                                      kAnotherTrainings));
    }
  };
  plan("weight.", model_.weights());
  plan("first.", optimizer_.first());
  plan("second.", optimizer_.second());
  std::vector<float> aligned;
  for (const auto& [to, tensor] : copies) {
    aligned.resize(tensor->bytes / sizeof(float));
    std::memcpy(aligned.data(), tensor->data, tensor->bytes);
    model_.backend().upload(to, aligned.data(), aligned.size());
  }
  steps_ = counters[0];
  passes_ = counters[1];
  model_.weights_changed();
}

size_t Trainer::memory_bytes() {
  return 4 * static_cast<size_t>(model_.weights().memory_count()) * sizeof(float) + model_.activation_bytes();
}

std::string Trainer::note_of(const std::string& path) {
  const TensorFile file = read_safetensors(FileMap::open(path, ErrorCode::kCheckpoint));
  const StoredTensor& note = file.require(kNote, DType::kU8, nullptr, kAnotherTrainings);
  return std::string(reinterpret_cast<const char*>(note.data), note.bytes);
}

}  // namespace albert
