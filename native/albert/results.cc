// Heads over the rows of a finished batch, and the padded tensors that callers see.
#include "results.h"

#include <algorithm>
#include <utility>

#include "support/error.h"

namespace albert {
Results::Results(Backend& backend, const Config& config, Head head, const HeadWeights& weights,
                 const PackedBatch& batch, const float* hidden, const EncoderTaps& taps, Workspace& workspace,
                 Workspace& host_workspace)
    : backend_(backend),
      config_(config),
      head_(head),
      weights_(weights),
      batch_(batch),
      hidden_(hidden),
      taps_(taps),
      workspace_(workspace),
      host_workspace_(host_workspace) {}

const float* Results::host_hidden() {
  if (!hidden_view_)
    hidden_view_.emplace(backend_, hidden_,
                         static_cast<size_t>(batch_.result_rows() * row_stride(config_.hidden_size)));
  return hidden_view_->data();
}

// Computed when the first caller needs it, for all sequences of the batch at once: one reading of the
// pooler's weights serves every caller.
const float* Results::pooled() {
  if (!pooled_.empty()) return pooled_.data();
  const int64_t sequences = static_cast<int64_t>(batch_.keys.size()),
                stride = row_stride(config_.hidden_size);
  std::vector<int32_t> rows, owners;
  for (int64_t s = 0; s < sequences; ++s) {
    const int64_t row = batch_.result_row(s, 0);
    if (row < 0) continue;
    rows.push_back(static_cast<int32_t>(row));
    owners.push_back(static_cast<int32_t>(s));
  }
  pooled_.assign(static_cast<size_t>(sequences * stride), 0.0f);
  const int64_t count = static_cast<int64_t>(rows.size());
  const auto [first_rows, results] = workspace_.slices({count * stride, count * stride});
  backend_.gather_rows(first_rows, stride, hidden_, stride, rows.data(), config_.hidden_size, count);
  pooler_forward(backend_, results, first_rows, weights_, count);
  const HostView view(backend_, results, static_cast<size_t>(count * stride));
  for (int64_t r = 0; r < count; ++r)
    std::copy_n(view.data() + r * stride, config_.hidden_size, pooled_.begin() + owners[r] * stride);
  return pooled_.data();
}

int64_t Results::result_begin(int64_t sequence) const {
  return batch_.selects() ? batch_.query_begin[sequence] : batch_.row_begin[sequence];
}

OutputTensor Results::token_rows(const char* name, const Range& range, const float* rows, int64_t stride,
                                 int64_t width) const {
  OutputTensor output(name, {range.count, range.length, width});
  float* to = output.data.get();
  for (int64_t s = range.first; s < range.first + range.count; ++s, to += range.length * width) {
    const float* const own = rows + (result_begin(s) - result_begin(range.first)) * stride;
    int64_t done = 0;  // positions written
    const auto zeros_until = [&](int64_t position) {
      std::fill(to + done * width, to + position * width, 0.0f);
      done = position + 1;
    };
    for (int64_t row = 0; row < batch_.keys[s]; ++row) {
      const int64_t position = batch_.positions[batch_.row_begin[s] + row];
      zeros_until(position);
      std::copy_n(own + row * stride, width, to + position * width);
    }
    zeros_until(range.length);
  }
  return output;
}

OutputTensor Results::first_rows(const Range& range) {
  const int64_t hidden = config_.hidden_size;
  OutputTensor output("first_hidden_state", {range.count, hidden});
  for (int64_t i = 0; i < range.count; ++i) {
    const int64_t row = batch_.result_row(range.first + i, 0);
    float* to = output.data.get() + i * hidden;
    if (row < 0)
      std::fill_n(to, hidden, 0.0f);
    else
      std::copy_n(host_hidden() + row * row_stride(hidden), hidden, to);
  }
  return output;
}

OutputTensor Results::mean_rows(const Range& range) {
  const int64_t hidden = config_.hidden_size, stride = row_stride(hidden);
  OutputTensor output("mean_hidden_state", {range.count, hidden});
  std::vector<double> sum(static_cast<size_t>(hidden));
  for (int64_t i = 0; i < range.count; ++i) {
    const int64_t rows = batch_.keys[range.first + i];
    const float* row = host_hidden() + result_begin(range.first + i) * stride;
    std::fill(sum.begin(), sum.end(), 0.0);
    for (int64_t r = 0; r < rows; ++r, row += stride)
      for (int64_t h = 0; h < hidden; ++h) sum[h] += row[h];
    for (int64_t h = 0; h < hidden; ++h)
      output.data[i * hidden + h] =
          static_cast<float>(sum[h] / std::max<double>(1, static_cast<double>(rows)));
  }
  return output;
}

OutputTensor Results::pooled_rows(const Range& range) {
  const int64_t hidden = config_.hidden_size, stride = row_stride(hidden);
  OutputTensor output("pooler_output", {range.count, hidden});
  const float* rows = pooled() + range.first * stride;
  for (int64_t i = 0; i < range.count; ++i)
    std::copy_n(rows + i * stride, hidden, output.data.get() + i * hidden);
  return output;
}

OutputTensor Results::pooled_logits(const char* name, const Range& range, int32_t choices) {
  OutputTensor output = choices ? OutputTensor(name, {range.count / choices, choices})
                                : OutputTensor(name, {range.count, weights_.classifier->out});
  classifier_forward(backend_, output.data.get(), pooled() + range.first * row_stride(config_.hidden_size),
                     weights_, range.count);
  return output;
}

OutputTensor Results::token_logits(const Range& range) {
  const int64_t labels = weights_.classifier->out, begin = result_begin(range.first);
  const int64_t rows = result_begin(range.first + range.count) - begin;
  const auto [logits] = workspace_.slices({rows * labels});
  classifier_forward(backend_, logits, hidden_ + begin * row_stride(config_.hidden_size), weights_, rows);
  const HostView view(backend_, logits, static_cast<size_t>(rows * labels));
  return token_rows("logits", range, view.data(), labels, labels);
}

void Results::question_logits(ForwardResult& result, const Range& range) {
  const OutputTensor logits = token_logits(range);
  const char* names[] = {"start_logits", "end_logits"};
  for (int64_t column = 0; column < 2; ++column) {
    OutputTensor output(names[column], {range.count, range.length});
    for (int64_t i = 0; i < output.count(); ++i) output.data[i] = logits.data[2 * i + column];
    result.push_back(std::move(output));
  }
}

void Results::answer_beam(ForwardResult& result, const Range& range) {
  const int64_t hidden = config_.hidden_size, stride = row_stride(2 * hidden);
  const int64_t ends = kTopStarts * kTopEnds;
  OutputTensor start_log_probs("start_top_log_probs", {range.count, kTopStarts}),
      start_index("start_top_index", {range.count, kTopStarts}),
      end_log_probs("end_top_log_probs", {range.count, ends}),
      end_index("end_top_index", {range.count, ends}), classes("cls_logits", {range.count});
  std::vector<float> class_rows(static_cast<size_t>(range.count * stride), 0.0f);
  for (int64_t i = 0; i < range.count; ++i) {
    const int64_t s = range.first + i;
    std::vector<int32_t> rows = answer_rows(batch_, s), positions;
    for (int32_t& row : rows) {
      positions.push_back(batch_.positions[batch_.row_begin[s] + row]);
      row += static_cast<int32_t>(result_begin(s));
    }
    const AnswerBeam beam{start_log_probs.data.get() + i * kTopStarts,
                          start_index.data.get() + i * kTopStarts, end_log_probs.data.get() + i * ends,
                          end_index.data.get() + i * ends};
    float* const class_row = class_rows.data() + i * stride;
    answer_beam_forward(backend_, beam, class_row, hidden_, rows, positions, *weights_.answer_beam,
                        host_workspace_);
    const int64_t first = batch_.result_row(s, 0);
    if (first >= 0) std::copy_n(host_hidden() + first * row_stride(hidden), hidden, class_row + hidden);
  }
  answer_class_forward(backend_, classes.data.get(), class_rows.data(), *weights_.answer_beam,
                       host_workspace_, range.count);
  for (OutputTensor* output : {&start_log_probs, &start_index, &end_log_probs, &end_index, &classes})
    result.push_back(std::move(*output));
}

OutputTensor Results::language_logits(const char* name, const Range& range, const ForwardRequest& request) {
  if (!request.logits_rows.empty()) return selected_language_logits(name, range, request.logits_rows);
  const int64_t vocabulary = config_.vocab_size, stride = row_stride(config_.embedding_size);
  const int64_t begin = result_begin(range.first), rows = result_begin(range.first + range.count) - begin;
  OutputTensor output(name, {range.count, range.length, vocabulary});
  const auto [transformed] = workspace_.slices({rows * stride});
  transform_forward(backend_, transformed, hidden_ + begin * row_stride(config_.hidden_size), weights_,
                    config_.hidden_act, rows);
  // Where each row of `transformed` goes, as a row of the output, which may be large: runs of neighbours go
  // there at once, from one sequence to the next where nothing is masked or padded.
  std::vector<std::pair<int64_t, int64_t>> places;
  for (int64_t s = range.first; s < range.first + range.count; ++s)
    for (int64_t k = 0; k < batch_.keys[s]; ++k)
      places.emplace_back(result_begin(s) - begin + k,
                          (s - range.first) * range.length + batch_.positions[batch_.row_begin[s] + k]);
  float* const to = output.data.get();
  int64_t done = 0;
  for (size_t i = 0; i < places.size();) {
    const auto [row, place] = places[i];
    int64_t run = 1;
    while (++i < places.size() && places[i] == std::pair{row + run, place + run}) ++run;
    std::fill(to + done * vocabulary, to + place * vocabulary, 0.0f);
    decoder_forward(backend_, to + place * vocabulary, transformed + row * stride, weights_, run);
    done = place + run;
  }
  std::fill(to + done * vocabulary, to + range.count * range.length * vocabulary, 0.0f);
  return output;
}

OutputTensor Results::selected_language_logits(const char* name, const Range& range,
                                               const std::vector<int32_t>& pairs) {
  const int64_t count = static_cast<int64_t>(pairs.size() / 2);
  const int64_t hidden_stride = row_stride(config_.hidden_size), stride = row_stride(config_.embedding_size);
  std::vector<int32_t> rows;
  for (size_t i = 0; i < pairs.size(); i += 2)
    rows.push_back(static_cast<int32_t>(batch_.result_row(range.first + pairs[i], pairs[i + 1])));
  OutputTensor output(name, {count, config_.vocab_size});
  const auto [gathered, transformed] = workspace_.slices({count * hidden_stride, count * stride});
  backend_.gather_rows(gathered, hidden_stride, hidden_, hidden_stride, rows.data(), config_.hidden_size,
                       count);
  transform_forward(backend_, transformed, gathered, weights_, config_.hidden_act, count);
  decoder_forward(backend_, output.data.get(), transformed, weights_, count);
  return output;
}

OutputTensor Results::attention_layer(int64_t layer, const Range& range) const {
  const int64_t heads = config_.num_attention_heads, length = range.length;
  OutputTensor output(str("attentions.", layer), {range.count, heads, length, length});
  std::fill_n(output.data.get(), output.count(), 0.0f);
  const float* tap = taps_.attentions + heads * layer * taps_.attention_begin.back();
  for (int64_t s = range.first; s < range.first + range.count; ++s) {
    const int64_t keys = batch_.keys[s], rows = batch_.row_begin[s + 1] - batch_.row_begin[s];
    const int32_t* positions = batch_.positions.data() + batch_.row_begin[s];
    for (int64_t head = 0; head < heads; ++head) {
      const float* from = tap + heads * taps_.attention_begin[s] + head * rows * keys;
      float* to = output.data.get() + ((s - range.first) * heads + head) * length * length;
      for (int64_t query = 0; query < keys; ++query)
        for (int64_t key = 0; key < keys; ++key)
          to[positions[query] * length + positions[key]] = from[query * keys + key];
    }
  }
  return output;
}

ForwardResult Results::of(int64_t item, const ForwardRequest& request) {
  const std::vector<int32_t>& lengths = request.batch.lengths;
  const Range range{batch_.first_sequence[item], static_cast<int64_t>(lengths.size()),
                    *std::max_element(lengths.begin(), lengths.end())};
  const int64_t hidden = config_.hidden_size, stride = row_stride(hidden), begin = result_begin(range.first);
  ForwardResult result;
  if (request.wanted.last_hidden_state)
    result.push_back(token_rows("last_hidden_state", range, host_hidden() + begin * stride, stride, hidden));
  if (request.wanted.first_hidden_state) result.push_back(first_rows(range));
  if (request.wanted.mean_hidden_state) result.push_back(mean_rows(range));
  if (request.wanted.pooler_output) result.push_back(pooled_rows(range));
  if (request.wanted.sop_logits) result.push_back(pooled_logits("sop_logits", range, 0));
  if (request.wanted.logits) {
    switch (head_) {
      case Head::kBase:
        break;
      case Head::kPretraining:
        result.push_back(language_logits("prediction_logits", range, request));
        break;
      case Head::kMaskedLm:
        result.push_back(language_logits("logits", range, request));
        break;
      case Head::kSequenceClassification:
        result.push_back(pooled_logits("logits", range, 0));
        break;
      case Head::kMultipleChoice:
        result.push_back(pooled_logits("logits", range, request.batch.choices));
        break;
      case Head::kTokenClassification:
        result.push_back(token_logits(range));
        break;
      case Head::kQuestionAnswering:
        question_logits(result, range);
        break;
      case Head::kQuestionAnsweringBeam:
        answer_beam(result, range);
        break;
    }
  }
  if (request.wanted.hidden_states)
    for (int64_t i = 0; i <= config_.num_hidden_layers; ++i)
      result.push_back(token_rows(str("hidden_states.", i).c_str(), range,
                                  taps_.hidden_states + (i * batch_.rows() + begin) * hidden, hidden,
                                  hidden));
  if (request.wanted.attentions)
    for (int64_t i = 0; i < config_.num_hidden_layers * config_.inner_group_num; ++i)
      result.push_back(attention_layer(i, range));
  return result;
}

}  // namespace albert
