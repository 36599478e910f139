// Losses of the head of SQuAD 2.0, with their gradients.
#include "answer_beam.h"

#include <algorithm>

#include "albert/answer_beam.h"
#include "binary_cross_entropy.h"

namespace albert {

TrainingAnswerBeam::TrainingAnswerBeam(const Config& config, ParameterSet& weights, ParameterSet& gradients,
                                       Backend& backend)
    : hidden_(config.hidden_size),
      stride_(row_stride(hidden_)),
      pair_stride_(row_stride(2 * hidden_)),
      backend_(backend),
      workspace_(backend, Place::kHost),
      end_workspace_(backend, Place::kHost),
      class_workspace_(backend, Place::kHost),
      start_("start_logits.dense.weight", "start_logits.dense.bias", hidden_, 1, Precision::kFp32, weights,
             gradients, backend),
      end_hidden_("end_logits.dense_0.weight", "end_logits.dense_0.bias", 2 * hidden_, hidden_,
                  Precision::kFp32, weights, gradients, backend),
      end_("end_logits.dense_1.weight", "end_logits.dense_1.bias", hidden_, 1, Precision::kFp32, weights,
           gradients, backend),
      class_hidden_("answer_class.dense_0.weight", "answer_class.dense_0.bias", 2 * hidden_, hidden_,
                    Precision::kFp32, weights, gradients, backend),
      class_logit_("answer_class.dense_1.weight", "", hidden_, 1, Precision::kFp32, weights, gradients,
                   backend),
      end_norm_("end_logits.LayerNorm", config.layer_norm_eps, weights, gradients),
      unused_(static_cast<size_t>(hidden_)) {
  // All three move the scores of one softmax alike, LayerNorm's bias through the weights of end_.
  start_.without_bias_gradient(0);
  end_.without_bias_gradient(0);
  end_norm_.gradient.bias = unused_.data();
}

void TrainingAnswerBeam::repack() {
  for (TrainingLinear* layer : {&start_, &end_hidden_, &end_, &class_hidden_, &class_logit_}) layer->repack();
}

void TrainingAnswerBeam::find_rows(const PackedBatch& batch, const LabelledBatch& labels) {
  rows_.clear();
  spans_.clear();
  for (size_t s = 0; s < batch.keys.size(); ++s) {
    const std::vector<int32_t> rows = answer_rows(batch, static_cast<int64_t>(s));
    const int32_t* const positions = batch.positions.data() + batch.row_begin[s];
    const auto place_of = [&](int32_t position) {
      const auto found =
          std::find_if(rows.begin(), rows.end(), [&](int32_t row) { return positions[row] == position; });
      return found == rows.end() ? -1 : static_cast<int32_t>(found - rows.begin());
    };
    const int32_t start = place_of(labels.start_positions[s]);
    spans_.push_back({static_cast<int64_t>(rows_.size()), static_cast<int64_t>(rows.size()), start,
                      start < 0 ? -1 : place_of(labels.end_positions[s])});
    for (int32_t row : rows) rows_.push_back(batch.row_begin[s] + row);
  }
}

void TrainingAnswerBeam::cross_entropy(LossPart& part, float* logits, const std::vector<Target>& targets) {
  const float share = 0.5f / static_cast<float>(std::max<size_t>(1, targets.size()));
  for (const Target& target : targets) {
    float loss;
    uint8_t hit;
    backend_.cross_entropy_forward_backward(&loss, &hit, logits + target.begin, &target.answer, &share,
                                            target.length, 1);
    part.mean += share * loss;
    part.hits += hit;
    ++part.count;
  }
}

std::vector<LossPart> TrainingAnswerBeam::forward_backward(float* dx, const float* x,
                                                           const PackedBatch& batch,
                                                           const LabelledBatch& labels,
                                                           const Dropout& dropout) {
  find_rows(batch, labels);
  const int64_t count = static_cast<int64_t>(rows_.size());
  const int64_t matrix = count * stride_;
  const auto [tokens, gradients, starts] = workspace_.slices({matrix, dx ? matrix : 0, count});
  float* const dtokens = dx ? gradients : nullptr;
  if (dx) std::fill_n(dtokens, matrix, 0.0f);

  backend_.gather_rows(tokens, stride_, x, stride_, rows_.data(), hidden_, count);
  start_.forward(starts, 1, tokens, stride_, count);
  std::vector<double> probabilities;
  for (const Span& span : spans_) {
    const std::vector<double> own = answer_probabilities(starts + span.begin, span.length);
    probabilities.insert(probabilities.end(), own.begin(), own.end());
  }
  LossPart answer;
  answer.name = "answer_loss";
  start_loss(answer, starts);
  end_loss(answer, dtokens, tokens);
  const LossPart impossible =
      class_loss(dx, dtokens, starts, x, tokens, probabilities, batch, labels, dropout);
  if (dx) {
    start_.backward_weights(starts, 1, tokens, stride_, count);
    start_.backward_input(dtokens, stride_, starts, 1, true, count);
    backend_.scatter_add_rows(dx, stride_, dtokens, stride_, rows_.data(), hidden_, count);
  }
  return {answer, impossible};
}

void TrainingAnswerBeam::start_loss(LossPart& part, float* logits) {
  std::vector<Target> targets;
  for (const Span& span : spans_)
    if (span.start >= 0)
      targets.push_back({span.begin, span.length, span.start});
    else
      std::fill_n(logits + span.begin, span.length, 0.0f);
  cross_entropy(part, logits, targets);
}

// Every row beside that of the right start, for the sequences whose end takes part.
void TrainingAnswerBeam::end_loss(LossPart& part, float* dtokens, const float* tokens) {
  std::vector<Span> spans;
  std::vector<Target> targets;
  int64_t count = 0;
  for (const Span& span : spans_) {
    if (span.end < 0) continue;
    spans.push_back(span);
    targets.push_back({count, span.length, span.end});
    count += span.length;
  }
  const int64_t matrix = count * stride_;
  // before: what the activation was given; sum: what LayerNorm was
  const auto [pairs, before, sum, y, logits] =
      end_workspace_.slices({count * pair_stride_, matrix, matrix, matrix, count});
  for (size_t s = 0; s < spans.size(); ++s) {
    const float* const own = tokens + spans[s].begin * stride_;
    for (int64_t row = 0; row < spans[s].length; ++row) {
      float* const to = pairs + (targets[s].begin + row) * pair_stride_;
      std::copy_n(own + row * stride_, hidden_, to);
      std::copy_n(own + spans[s].start * stride_, hidden_, to + hidden_);
    }
  }
  end_hidden_.forward(before, stride_, pairs, pair_stride_, count);
  backend_.activation_forward(sum, before, Activation::kTanh, hidden_, count);
  backend_.layernorm_forward(y, stride_, sum, stride_, end_norm_.weights, hidden_, count);
  end_.forward(logits, 1, y, stride_, count);
  cross_entropy(part, logits, targets);
  if (!dtokens) return;

  end_.backward_weights(logits, 1, y, stride_, count);
  end_.backward_input(y, stride_, logits, 1, false, count);
  backend_.layernorm_backward(y, end_norm_.gradient, y, sum, end_norm_.weights, hidden_, count);
  backend_.activation_backward(y, sum, y, before, Activation::kTanh, hidden_, count);
  end_hidden_.backward_weights(y, stride_, pairs, pair_stride_, count);
  end_hidden_.backward_input(pairs, pair_stride_, y, stride_, false, count);
  for (size_t s = 0; s < spans.size(); ++s) {
    float* const own = dtokens + spans[s].begin * stride_;
    for (int64_t row = 0; row < spans[s].length; ++row) {
      const float* const from = pairs + (targets[s].begin + row) * pair_stride_;
      for (int64_t i = 0; i < hidden_; ++i) {
        own[row * stride_ + i] += from[i];
        own[spans[s].start * stride_ + i] += from[hidden_ + i];
      }
    }
  }
}

LossPart TrainingAnswerBeam::class_loss(float* dx, float* dtokens, float* dstarts, const float* x,
                                        const float* tokens, const std::vector<double>& probabilities,
                                        const PackedBatch& batch, const LabelledBatch& labels,
                                        const Dropout& dropout) {
  const int64_t count = static_cast<int64_t>(spans_.size());
  const int64_t matrix = count * stride_;
  // before: what the activation was given
  const auto [pairs, before, states, dstates, logits] =
      class_workspace_.slices({count * pair_stride_, matrix, matrix, matrix, count});
  std::vector<double> sum(static_cast<size_t>(hidden_));
  std::vector<int32_t> first_rows;
  for (int64_t s = 0; s < count; ++s) {
    const Span& span = spans_[s];
    std::fill(sum.begin(), sum.end(), 0.0);
    for (int64_t row = span.begin; row < span.begin + span.length; ++row)
      for (int64_t i = 0; i < hidden_; ++i) sum[i] += probabilities[row] * tokens[row * stride_ + i];
    float* const to = pairs + s * pair_stride_;
    for (int64_t i = 0; i < hidden_; ++i) to[i] = static_cast<float>(sum[i]);
    first_rows.push_back(static_cast<int32_t>(batch.result_row(s, 0)));
  }
  backend_.gather_rows(pairs + hidden_, pair_stride_, x, stride_, first_rows.data(), hidden_, count);
  class_hidden_.forward(before, stride_, pairs, pair_stride_, count);
  backend_.activation_forward(states, before, Activation::kTanh, hidden_, count);
  if (dropout.probability > 0) backend_.dropout_forward(states, states, dropout, hidden_, count);
  class_logit_.forward(logits, 1, states, stride_, count);

  LossPart part;
  part.name = "impossible_loss";
  for (int32_t label : labels.is_impossible) part.count += label != kIgnoredLabel;
  const double share = 0.5 / static_cast<double>(std::max<int64_t>(1, part.count));
  for (int64_t s = 0; s < count; ++s) {
    const int32_t label = labels.is_impossible[s];
    const double z = logits[s];
    logits[s] = 0;
    if (label == kIgnoredLabel) continue;
    part.mean += share * binary_cross_entropy(z, label);
    part.hits += (z > 0) == (label == 1);
    logits[s] = static_cast<float>(share * binary_cross_entropy_slope(z, label));
  }
  if (!dx) return part;

  class_logit_.backward_weights(logits, 1, states, stride_, count);
  class_logit_.backward_input(dstates, stride_, logits, 1, false, count);
  if (dropout.probability > 0) backend_.dropout_forward(dstates, dstates, dropout, hidden_, count);
  backend_.activation_backward(dstates, states, dstates, before, Activation::kTanh, hidden_, count);
  class_hidden_.backward_weights(dstates, stride_, pairs, pair_stride_, count);
  class_hidden_.backward_input(pairs, pair_stride_, dstates, stride_, false, count);
  backend_.scatter_add_rows(dx, stride_, pairs + hidden_, pair_stride_, first_rows.data(), hidden_, count);
  for (int64_t s = 0; s < count; ++s) {
    const Span& span = spans_[s];
    const float* const dsum = pairs + s * pair_stride_;
    // Of an expectation: every row by its probability, every score by how far its row lies from the mean.
    std::vector<double> along(static_cast<size_t>(span.length), 0.0);
    double mean = 0;
    for (int64_t row = 0; row < span.length; ++row) {
      const int64_t at = (span.begin + row) * stride_;
      const float probability = static_cast<float>(probabilities[span.begin + row]);
      for (int64_t i = 0; i < hidden_; ++i) {
        along[row] += double{dsum[i]} * tokens[at + i];
        dtokens[at + i] += probability * dsum[i];
      }
      mean += probabilities[span.begin + row] * along[row];
    }
    for (int64_t row = 0; row < span.length; ++row)
      dstarts[span.begin + row] += static_cast<float>(probabilities[span.begin + row] * (along[row] - mean));
  }
  return part;
}

}  // namespace albert
