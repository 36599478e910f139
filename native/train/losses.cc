// Losses of every head, with their gradients.
#include "losses.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "albert/host_view.h"
#include "binary_cross_entropy.h"

namespace albert {
namespace {

// Past those of the encoder's blocks.
constexpr uint64_t kClassifierPlace = 65535;

}  // namespace

TrainingHeads::TrainingHeads(const Config& config, Head head, std::vector<float> class_weights,
                             int64_t logit_bytes, Precision precision, ParameterSet& weights,
                             ParameterSet& gradients, Backend& backend)
    : config_(config),
      head_(head),
      class_weights_(std::move(class_weights)),
      logit_bytes_(logit_bytes),
      backend_(backend),
      workspace_(backend) {
  const int64_t hidden = config.hidden_size, width = config.embedding_size;
  const auto linear = [&](std::optional<TrainingLinear>& to, const char* name, int64_t out) {
    to.emplace(std::vector<std::string>{name}, hidden, out, Precision::kFp32, weights, gradients, backend);
  };
  if (is_pooled(head)) linear(pooler_, "pooler", hidden);
  if (is_language(head)) {
    linear(transform_, "predictions.dense", width);
    decoder_.emplace("embeddings.word_embeddings.weight", "predictions.bias", width, config.vocab_size,
                     precision, weights, gradients, backend);
    transform_norm_.emplace("predictions.LayerNorm", config.layer_norm_eps, weights, gradients);
  }
  switch (head) {
    case Head::kPretraining:
      linear(classifier_, "sop_classifier.classifier", 2);
      break;
    case Head::kQuestionAnswering:
      linear(classifier_, "qa_outputs", 2);
      classifier_->without_bias_gradient(0);
      break;
    case Head::kQuestionAnsweringBeam:
      answer_beam_.emplace(config, weights, gradients, backend);
      break;
    case Head::kSequenceClassification:
    case Head::kTokenClassification:
      linear(classifier_, "classifier", config.num_labels);
      break;
    case Head::kMultipleChoice:
      linear(classifier_, "classifier", 1);
      classifier_->without_bias_gradient(0);
      break;
    case Head::kBase:
    case Head::kMaskedLm:
      break;
  }
}

void TrainingHeads::repack() {
  for (std::optional<TrainingLinear>* layer : {&pooler_, &classifier_, &transform_, &decoder_})
    if (*layer) (*layer)->repack();
  if (answer_beam_) answer_beam_->repack();
}

Losses TrainingHeads::forward_backward(float* dx, const float* x, const PackedBatch& batch,
                                       const LabelledBatch& labels, const DropoutPlaces& dropout,
                                       float classifier_dropout) {
  if (dx) backend_.clear(dx, static_cast<size_t>(batch.result_rows() * row_stride(config_.hidden_size)));
  // The pre-training head has none in the ALBERT release.
  const Dropout at_classifier =
      dropout.at(head_ == Head::kPretraining ? 0 : classifier_dropout, kClassifierPlace);
  Losses losses;
  if (is_language(head_)) losses.parts.push_back(language_loss(dx, x, labelled_rows(batch, labels)));
  if (head_ == Head::kTokenClassification)
    losses.parts.push_back(token_loss(dx, x, labelled_rows(batch, labels), at_classifier));
  if (head_ == Head::kQuestionAnswering) losses.parts.push_back(answer_loss(dx, x, batch, labels));
  if (answer_beam_) losses.parts = answer_beam_->forward_backward(dx, x, batch, labels, at_classifier);
  if (classifier_ && pooler_ && !(head_ == Head::kPretraining && labels.sop_labels.empty()))
    losses.parts.push_back(pooled_loss(dx, x, batch, labels, at_classifier));
  for (const LossPart& part : losses.parts) losses.total += part.mean;
  return losses;
}

// ---- rows

TrainingHeads::Selected TrainingHeads::labelled_rows(const PackedBatch& batch,
                                                     const LabelledBatch& labels) const {
  Selected selected;
  size_t token = 0;
  for (size_t s = 0; s < labels.sequences.lengths.size(); ++s) {
    for (int32_t row = batch.row_begin[s]; row < batch.row_begin[s] + batch.keys[s]; ++row) {
      const int32_t position = batch.positions[row];
      const int32_t label = labels.labels[token + static_cast<size_t>(position)];
      if (label == kIgnoredLabel) continue;
      selected.rows.push_back(static_cast<int32_t>(batch.result_row(static_cast<int64_t>(s), position)));
      selected.labels.push_back(label);
    }
    token += static_cast<size_t>(labels.sequences.lengths[s]);
  }
  return selected;
}

void TrainingHeads::gather(float* y, const float* x, const std::vector<int32_t>& rows) const {
  const int64_t stride = row_stride(config_.hidden_size);
  backend_.gather_rows(y, stride, x, stride, rows.data(), config_.hidden_size,
                       static_cast<int64_t>(rows.size()));
}

void TrainingHeads::scatter_add(float* x, const float* y, const std::vector<int32_t>& rows) const {
  const int64_t stride = row_stride(config_.hidden_size);
  backend_.scatter_add_rows(x, stride, y, stride, rows.data(), config_.hidden_size,
                            static_cast<int64_t>(rows.size()));
}

// ---- losses

// What each label counts in the mean: its class's weight, as a share of all.
std::vector<float> TrainingHeads::shares_of(const std::vector<int32_t>& labels) const {
  const auto weight_of = [&](int32_t label) {
    return class_weights_.empty() ? 1.0f : class_weights_[static_cast<size_t>(label)];
  };
  double total = 0;
  for (int32_t label : labels) total += weight_of(label);
  std::vector<float> shares;
  for (int32_t label : labels)
    shares.push_back(total > 0 ? static_cast<float>(weight_of(label) / total) : 0.0f);
  return shares;
}

void TrainingHeads::add_cross_entropy(LossPart& part, float* logits, const int32_t* labels,
                                      const float* shares, int64_t width, int64_t rows) {
  if (rows == 0) return;
  std::vector<float> losses(static_cast<size_t>(rows));
  std::vector<uint8_t> hits(losses.size());
  backend_.cross_entropy_forward_backward(losses.data(), hits.data(), logits, labels, shares, width, rows);
  for (size_t r = 0; r < losses.size(); ++r) {
    part.mean += static_cast<double>(shares[r]) * losses[r];
    part.hits += hits[r];
  }
  part.count += rows;
}

LossPart TrainingHeads::cross_entropy(const char* name, float* logits, const std::vector<int32_t>& labels,
                                      int64_t width) {
  LossPart part;
  part.name = name;
  const std::vector<float> shares = shares_of(labels);
  add_cross_entropy(part, logits, labels.data(), shares.data(), width, static_cast<int64_t>(labels.size()));
  return part;
}

// Logits are wide, so a few rows of them at a time stand in memory, from the product that makes them to those
// that take their gradient.
LossPart TrainingHeads::language_loss(float* dx, const float* x, const Selected& selected) {
  const int64_t width = config_.embedding_size, stride = row_stride(config_.hidden_size);
  const int64_t narrow = row_stride(width), vocabulary = config_.vocab_size;
  const int64_t rows = static_cast<int64_t>(selected.rows.size()), at_a_time = logit_rows(rows);
  // before: what the activation was given; sum: what LayerNorm was
  const auto [hidden, before, sum, y, logits] =
      workspace_.slices({rows * stride, rows * narrow, rows * narrow, rows * narrow, at_a_time * vocabulary});

  gather(hidden, x, selected.rows);
  transform_->forward(before, narrow, hidden, stride, rows);
  backend_.activation_forward(sum, before, config_.hidden_act, width, rows);
  backend_.layernorm_forward(y, narrow, sum, narrow, transform_norm_->weights, width, rows);
  LossPart part;
  part.name = "mlm_loss";
  const std::vector<float> shares = shares_of(selected.labels);
  for (int64_t begin = 0; begin < rows; begin += at_a_time) {
    const int64_t some = std::min(at_a_time, rows - begin);
    float* const y_begin = y + begin * narrow;
    decoder_->forward(logits, vocabulary, y_begin, narrow, some);
    add_cross_entropy(part, logits, selected.labels.data() + begin, shares.data() + begin, vocabulary, some);
    if (!dx) continue;
    decoder_->backward_weights(logits, vocabulary, y_begin, narrow, some);
    decoder_->backward_input(y_begin, narrow, logits, vocabulary, false, some);
  }
  if (!dx) return part;

  backend_.layernorm_backward(y, transform_norm_->gradient, y, sum, transform_norm_->weights, width, rows);
  backend_.activation_backward(y, sum, y, before, config_.hidden_act, width, rows);
  transform_->backward_weights(y, narrow, hidden, stride, rows);
  transform_->backward_input(hidden, stride, y, narrow, false, rows);
  scatter_add(dx, hidden, selected.rows);
  return part;
}

// Of `rows` in turns of about the same size, each within the memory that logits may take.
int64_t TrainingHeads::logit_rows(int64_t rows) const {
  constexpr int64_t kTile = 128;
  const int64_t row_bytes = config_.vocab_size * static_cast<int64_t>(sizeof(float));
  const int64_t most = std::max<int64_t>(1, logit_bytes_ / row_bytes / kTile) * kTile;
  const int64_t turns = (rows + most - 1) / most;
  return turns <= 1 ? rows : ((rows + turns - 1) / turns + kTile - 1) / kTile * kTile;
}

LossPart TrainingHeads::token_loss(float* dx, const float* x, const Selected& selected,
                                   const Dropout& dropout) {
  const int64_t stride = row_stride(config_.hidden_size), width = config_.num_labels;
  const int64_t rows = static_cast<int64_t>(selected.rows.size());
  const auto [hidden, logits] = workspace_.slices({rows * stride, rows * width});
  const auto drop = [&](float* values) {
    if (dropout.probability > 0) backend_.dropout_forward(values, values, dropout, config_.hidden_size, rows);
  };
  gather(hidden, x, selected.rows);
  drop(hidden);
  classifier_->forward(logits, width, hidden, stride, rows);
  const LossPart part = cross_entropy("loss", logits, selected.labels, width);
  if (!dx) return part;
  classifier_->backward_weights(logits, width, hidden, stride, rows);
  classifier_->backward_input(hidden, stride, logits, width, false, rows);
  drop(hidden);
  scatter_add(dx, hidden, selected.rows);
  return part;
}

// The mean of the start's and the end's cross-entropy over the positions of a sequence.
LossPart TrainingHeads::answer_loss(float* dx, const float* x, const PackedBatch& batch,
                                    const LabelledBatch& labels) {
  const int64_t rows = batch.rows(), stride = row_stride(config_.hidden_size);
  const auto [logits] = workspace_.slices({2 * rows});
  classifier_->forward(logits, 2, x, stride, rows);
  const HostView view(backend_, logits, static_cast<size_t>(2 * rows));

  LossPart part;
  part.name = "loss";
  std::vector<float> column(static_cast<size_t>(rows)), gradient(static_cast<size_t>(2 * rows), 0.0f);
  std::vector<std::pair<int64_t, int32_t>> answers[2];  // sequence, row of the answer within it
  for (size_t s = 0; s < batch.keys.size(); ++s) {
    const int32_t* const positions = batch.positions.data() + batch.row_begin[s];
    for (int side = 0; side < 2; ++side) {
      const int32_t answer = (side ? labels.end_positions : labels.start_positions)[s];
      const int32_t* const found = std::find(positions, positions + batch.keys[s], answer);
      if (found != positions + batch.keys[s])
        answers[side].emplace_back(static_cast<int64_t>(s), static_cast<int32_t>(found - positions));
    }
  }
  for (int side = 0; side < 2; ++side) {
    const float share = 0.5f / static_cast<float>(std::max<size_t>(1, answers[side].size()));
    for (const auto& [s, answer] : answers[side]) {
      const int64_t begin = batch.row_begin[s], length = batch.keys[s];
      for (int64_t r = 0; r < length; ++r) column[r] = view.data()[2 * (begin + r) + side];
      float loss;
      uint8_t hit;
      backend_.cross_entropy_forward_backward(&loss, &hit, column.data(), &answer, &share, length, 1);
      for (int64_t r = 0; r < length; ++r) gradient[2 * (begin + r) + side] = column[r];
      part.mean += share * loss;
      part.hits += hit;
      ++part.count;
    }
  }
  if (!dx) return part;
  backend_.upload(logits, gradient.data(), gradient.size());
  classifier_->backward_weights(logits, 2, x, stride, rows);
  classifier_->backward_input(dx, stride, logits, 2, false, rows);
  return part;
}

LossPart TrainingHeads::pooled_loss(float* dx, const float* x, const PackedBatch& batch,
                                    const LabelledBatch& labels, const Dropout& dropout) {
  const int64_t hidden = config_.hidden_size, stride = row_stride(hidden);
  const int64_t width = classifier_->packed().out, count = static_cast<int64_t>(batch.keys.size());
  std::vector<int32_t> rows;
  for (int64_t s = 0; s < count; ++s) rows.push_back(static_cast<int32_t>(batch.result_row(s, 0)));
  const int64_t matrix = count * stride;
  // before: what the activation was given
  const auto [first, before, pooled, dpooled, logits] =
      workspace_.slices({matrix, matrix, matrix, matrix, count * width});

  gather(first, x, rows);
  pooler_->forward(before, stride, first, stride, count);
  backend_.activation_forward(pooled, before, Activation::kTanh, hidden, count);
  if (dropout.probability > 0) backend_.dropout_forward(pooled, pooled, dropout, hidden, count);
  classifier_->forward(logits, width, pooled, stride, count);
  std::vector<float> values(static_cast<size_t>(count * width));
  backend_.download(values.data(), logits, values.size());
  const LossPart part = classifier_loss(values.data(), labels, count);
  if (!dx) return part;
  backend_.upload(logits, values.data(), values.size());

  classifier_->backward_weights(logits, width, pooled, stride, count);
  classifier_->backward_input(dpooled, stride, logits, width, false, count);
  if (dropout.probability > 0) backend_.dropout_forward(dpooled, dpooled, dropout, hidden, count);
  backend_.activation_backward(dpooled, pooled, dpooled, before, Activation::kTanh, hidden, count);
  pooler_->backward_weights(dpooled, stride, first, stride, count);
  pooler_->backward_input(first, stride, dpooled, stride, false, count);
  scatter_add(dx, first, rows);
  return part;
}

// Logits, host [count, labels], become their gradient.
LossPart TrainingHeads::classifier_loss(float* logits, const LabelledBatch& labels, int64_t count) {
  const bool pretraining = head_ == Head::kPretraining;
  const std::vector<int32_t>& classes = pretraining ? labels.sop_labels : labels.labels;
  if (labels.targets.empty()) {
    const int64_t width = labels.sequences.choices > 0 ? labels.sequences.choices
                                                       : static_cast<int64_t>(classifier_->packed().out);
    // Rows without a label leave the matrix for the loss and come back with a gradient of zero.
    std::vector<int32_t> kept, values;
    for (size_t i = 0; i < classes.size(); ++i)
      if (classes[i] != kIgnoredLabel) kept.push_back(static_cast<int32_t>(i)), values.push_back(classes[i]);
    for (size_t i = 0; i < kept.size(); ++i)
      std::copy_n(logits + kept[i] * width, width, logits + static_cast<int64_t>(i) * width);
    const LossPart part = cross_entropy(pretraining ? "sop_loss" : "loss", logits, values, width);
    for (size_t i = classes.size(), k = kept.size(); i-- > 0;) {
      float* const row = logits + static_cast<int64_t>(i) * width;
      if (k > 0 && kept[k - 1] == static_cast<int32_t>(i))
        std::memmove(row, logits + static_cast<int64_t>(--k) * width,
                     static_cast<size_t>(width) * sizeof(float));
      else
        std::fill_n(row, width, 0.0f);
    }
    return part;
  }
  const int64_t values = count * config_.num_labels;
  const bool regresses = config_.regresses();
  LossPart part;
  part.name = "loss";
  part.count = values;
  for (int64_t i = 0; i < values; ++i) {
    const double z = logits[i], target = labels.targets[static_cast<size_t>(i)];
    double slope;
    if (regresses) {
      part.mean += (z - target) * (z - target);
      slope = 2 * (z - target);
    } else {
      part.mean += binary_cross_entropy(z, target);
      slope = binary_cross_entropy_slope(z, target);
      part.hits += (z > 0) == (target > 0.5);
    }
    logits[i] = static_cast<float>(slope / static_cast<double>(values));
  }
  part.mean /= static_cast<double>(values);
  return part;
}

}  // namespace albert
