// One pass of a model in training.
#include "training_model.h"

#include <algorithm>

#include "albert/device.h"
#include "support/error.h"

namespace albert {

TrainingModel::TrainingModel(const Config& config, Head head, const Weights& weights,
                             const TrainingOptions& options)
    : config_(config), head_(head), classifier_dropout_(options.classifier_dropout) {
  check(!is_language(head) || weights.has_tied_decoder(), ErrorCode::kInvalidArgument,
        "expected the masked-language decoder to be the word table but this model has one of its own; "
        "training it is not supported");
  const bool classifies = head == Head::kSequenceClassification || head == Head::kTokenClassification;
  check(options.class_weights.empty() ||
            (classifies && options.class_weights.size() == static_cast<size_t>(config.num_labels)),
        ErrorCode::kInvalidArgument, "expected a class weight for each of ",
        classifies ? config.num_labels : 0, " labels but received ", options.class_weights.size());
  const Precision precision = precision_of(options.dtype, {Precision::kFp32, Precision::kBf16});
  backend_ = make_backend(options.device, precision, options.isa, options.threads);
  BackendLimits limits;
  limits.precision = precision;
  limits.max_width = std::max({config.embedding_size, 3 * config.hidden_size, config.intermediate_size});
  if (is_language(head)) limits.max_depth = config.vocab_size;
  limits.max_length = config.max_position_embeddings;
  limits.head_size = config.head_size();
  limits.training = true;
  backend_->reserve(limits);
  weights_ = std::make_unique<ParameterSet>(weights.all(), *backend_);
  weights_->copy_from(weights.all());
  gradients_ = std::make_unique<ParameterSet>(weights.all(), *backend_);
  encoder_ = std::make_unique<TrainingEncoder>(config_, precision, options.recompute, *weights_, *gradients_,
                                               *backend_);
  heads_ = std::make_unique<TrainingHeads>(config_, head, options.class_weights, options.logit_bytes,
                                           precision, *weights_, *gradients_, *backend_);
  workspace_ = std::make_unique<Workspace>(*backend_);
}

void TrainingModel::weights_changed() {
  encoder_->repack();
  heads_->repack();
}

Losses TrainingModel::forward_backward(const LabelledBatch& batch, const DropoutPlaces& dropout) {
  return run(batch, dropout, true);
}

Losses TrainingModel::evaluate(const LabelledBatch& batch) {
  return run(batch, DropoutPlaces::none(), false);
}

Losses TrainingModel::run(const LabelledBatch& batch, const DropoutPlaces& dropout, bool backward) {
  batch.validate(config_, head_);
  const std::vector<int32_t> pairs = batch.labelled_positions(head_);
  BatchItem item;
  item.sequences = &batch.sequences;
  item.pairs = &pairs;
  item.pooled = needs_first_row(head_);
  item.every_row = !labels_tokens(head_) && !is_pooled(head_);
  const PackedBatch packed({item});
  const float* const hidden = encoder_->forward(packed, dropout);
  const int64_t floats = packed.rows() * row_stride(config_.hidden_size);
  float* const dhidden = backward ? workspace_->slices({floats})[0] : nullptr;
  const Losses losses =
      heads_->forward_backward(dhidden, hidden, packed, batch, dropout, classifier_dropout_);
  if (backward) encoder_->backward(dhidden);
  return losses;
}

}  // namespace albert
