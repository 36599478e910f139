// The beam over starts and ends of answers.
#include "answer_beam.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace albert {
namespace {

// Indices of the largest values, largest first; among equals the earlier. Values that are no numbers come
// last.
std::vector<int64_t> best_of(const std::vector<float>& values, int64_t count) {
  std::vector<int64_t> best;
  for (int64_t i = 0; i < static_cast<int64_t>(values.size()); ++i) {
    const auto place =
        std::find_if(best.begin(), best.end(), [&](int64_t other) { return values[i] > values[other]; });
    if (place == best.end() && static_cast<int64_t>(best.size()) == count) continue;
    best.insert(place, i);
    if (static_cast<int64_t>(best.size()) > count) best.pop_back();
  }
  return best;
}

std::vector<float> log_probabilities(const float* logits, int64_t count) {
  if (count == 0) return {};
  const double peak = *std::max_element(logits, logits + count);
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += std::exp(logits[i] - peak);
  std::vector<float> result(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) result[i] = static_cast<float>(logits[i] - peak - std::log(sum));
  return result;
}

// The best of the tokens with these log-probabilities, as rows, into `count` entries of a beam.
std::vector<int64_t> fill_beam(float* log_probs, float* index, int64_t count,
                               const std::vector<float>& values, const std::vector<int32_t>& positions) {
  const std::vector<int64_t> best = best_of(values, count);
  std::fill_n(log_probs, count, kNoToken);
  std::fill_n(index, count, 0.0f);
  for (size_t i = 0; i < best.size(); ++i) {
    log_probs[i] = values[best[i]];
    index[i] = static_cast<float>(positions[best[i]]);
  }
  return best;
}

}  // namespace

std::vector<int32_t> answer_rows(const PackedBatch& batch, int64_t sequence) {
  const int32_t begin = batch.row_begin[sequence], keys = batch.keys[sequence];
  std::vector<int32_t> rows;
  for (int32_t row = 0; row < keys; ++row)
    if (batch.positions[begin + row] == 0 || (batch.types[begin + row] == 1 && row + 1 < keys))
      rows.push_back(row);
  return rows;
}

std::vector<double> answer_probabilities(const float* logits, int64_t count) {
  std::vector<double> result(logits, logits + count);
  double peak = -std::numeric_limits<double>::infinity(), sum = 0;
  for (double logit : result) peak = std::max(peak, logit);
  for (double& value : result) sum += value = std::exp(value - peak);
  for (double& value : result) value /= sum;
  return result;
}

AnswerBeamWeights::AnswerBeamWeights(const Config& config, const Weights& weights, Backend& backend)
    : placed_(backend) {
  const int64_t hidden = config.hidden_size;
  const auto pack = [&](const std::string& name, int64_t in, int64_t out) {
    const Parameter* const bias = weights.find(name + ".bias");
    return backend.pack({{weights.data(name + ".weight"), bias ? bias->data : nullptr, out}}, in, {});
  };
  start = pack("start_logits.dense", hidden, 1);
  end = pack("end_logits.dense_1", hidden, 1);
  class_hidden = pack("answer_class.dense_0", 2 * hidden, hidden);
  class_logit = pack("answer_class.dense_1", hidden, 1);

  const float* const both = weights.data("end_logits.dense_0.weight");
  std::vector<float> halves[2];
  for (int64_t row = 0; row < hidden; ++row)
    for (int side = 0; side < 2; ++side) {
      const float* const from = both + (2 * row + side) * hidden;
      halves[side].insert(halves[side].end(), from, from + hidden);
    }
  end_token = backend.pack({{halves[0].data(), nullptr, hidden}}, hidden, {});
  end_start = backend.pack({{halves[1].data(), weights.data("end_logits.dense_0.bias"), hidden}}, hidden, {});
  end_norm = placed_.place_norm(weights, "end_logits.LayerNorm", config.layer_norm_eps, hidden);
}

size_t AnswerBeamWeights::bytes() const {
  size_t total = placed_.bytes();
  for (const auto* part : {&start, &end_token, &end_start, &end, &class_hidden, &class_logit})
    total += (*part)->bytes;
  return total;
}

void answer_beam_forward(Backend& backend, const AnswerBeam& beam, float* expectation, const float* x,
                         const std::vector<int32_t>& rows, const std::vector<int32_t>& positions,
                         const AnswerBeamWeights& weights, Workspace& workspace) {
  const int64_t hidden = weights.start->in, stride = row_stride(hidden);
  const int64_t count = static_cast<int64_t>(rows.size());
  const int64_t matrix = count * stride, few = kTopStarts * stride;
  // seen and shifts: dense_0's halves of the tokens and the starts
  const auto [tokens, seen, states, starts, shifts, logits] =
      workspace.slices({matrix, matrix, matrix, few, few, count});

  backend.gather_rows(tokens, stride, x, stride, rows.data(), hidden, count);
  backend.linear_forward(logits, 1, tokens, stride, *weights.start, Activation::kIdentity, count);
  const std::vector<double> probabilities = answer_probabilities(logits, count);
  std::vector<double> sum(static_cast<size_t>(hidden), 0.0);
  for (int64_t row = 0; row < count; ++row)
    for (int64_t i = 0; i < hidden; ++i) sum[i] += probabilities[row] * tokens[row * stride + i];
  std::transform(sum.begin(), sum.end(), expectation, [](double value) { return static_cast<float>(value); });

  const std::vector<int64_t> best = fill_beam(beam.start_log_probs, beam.start_index, kTopStarts,
                                              log_probabilities(logits, count), positions);
  std::fill_n(beam.end_log_probs, kTopStarts * kTopEnds, kNoToken);
  std::fill_n(beam.end_index, kTopStarts * kTopEnds, 0.0f);
  const int64_t found = static_cast<int64_t>(best.size());
  for (int64_t s = 0; s < found; ++s) std::copy_n(tokens + best[s] * stride, hidden, starts + s * stride);
  backend.linear_forward(shifts, stride, starts, stride, *weights.end_start, Activation::kIdentity, found);
  backend.linear_forward(seen, stride, tokens, stride, *weights.end_token, Activation::kIdentity, count);
  for (int64_t s = 0; s < found; ++s) {
    for (int64_t row = 0; row < count; ++row)
      for (int64_t i = 0; i < hidden; ++i)
        states[row * stride + i] = seen[row * stride + i] + shifts[s * stride + i];
    backend.activation_forward(states, states, Activation::kTanh, hidden, count);
    backend.layernorm_forward(states, stride, states, stride, weights.end_norm, hidden, count);
    backend.linear_forward(logits, 1, states, stride, *weights.end, Activation::kIdentity, count);
    fill_beam(beam.end_log_probs + s * kTopEnds, beam.end_index + s * kTopEnds, kTopEnds,
              log_probabilities(logits, count), positions);
  }
}

void answer_class_forward(Backend& backend, float* y, const float* x, const AnswerBeamWeights& weights,
                          Workspace& workspace, int64_t rows) {
  const int64_t stride = row_stride(weights.class_hidden->out);
  const auto [states] = workspace.slices({rows * stride});
  backend.linear_forward(states, stride, x, row_stride(weights.class_hidden->in), *weights.class_hidden,
                         Activation::kTanh, rows);
  backend.linear_forward(y, 1, states, stride, *weights.class_logit, Activation::kIdentity, rows);
}

}  // namespace albert
