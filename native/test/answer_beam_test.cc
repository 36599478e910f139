// The head of SQuAD 2.0 against a double-precision one written as the ALBERT release has it: masks over all
// tokens, every start beside every token.
#include "albert/answer_beam.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>

#include "albert/model.h"
#include "backends.h"
#include "support/rng.h"
#include "test.h"
#include "train/answer_beam.h"

namespace albert::test {
namespace {

using Vector = std::vector<double>;
using Matrix = std::vector<Vector>;

constexpr const char* kConfig =
    R"({"model_type": "albert", "architectures": ["AlbertForQuestionAnsweringBeam"], "vocab_size": 60,
  "embedding_size": 16, "hidden_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
  "max_position_embeddings": 40, "initializer_range": 0.3})";

Config config() { return Config::parse(kConfig, "config"); }

// One sequence as the reference's input: hidden states of all positions, and which of them may be answers.
struct Window {
  Matrix states;
  std::vector<bool> real, allowed;
};

struct Reference {
  std::map<std::string, Vector> parameters;
  int64_t hidden = 0;
  double epsilon = 0;

  Vector dense(const std::string& name, const Vector& x) const {
    const Vector& weight = parameters.at(name + ".weight");
    const auto bias = parameters.find(name + ".bias");
    Vector y(weight.size() / x.size());
    for (size_t o = 0; o < y.size(); ++o) {
      y[o] = bias == parameters.end() ? 0 : bias->second[o];
      for (size_t i = 0; i < x.size(); ++i) y[o] += weight[o * x.size() + i] * x[i];
    }
    return y;
  }

  static Vector joined(const Vector& a, const Vector& b) {
    Vector both = a;
    both.insert(both.end(), b.begin(), b.end());
    return both;
  }

  static Vector tanh(Vector x) {
    for (double& value : x) value = std::tanh(value);
    return x;
  }

  static Vector log_softmax(const Vector& logits, const std::vector<bool>& allowed) {
    double peak = -1e300, sum = 0;
    for (size_t i = 0; i < logits.size(); ++i)
      if (allowed[i]) peak = std::max(peak, logits[i]);
    for (size_t i = 0; i < logits.size(); ++i)
      if (allowed[i]) sum += std::exp(logits[i] - peak);
    Vector result(logits.size(), -1e30);
    for (size_t i = 0; i < logits.size(); ++i)
      if (allowed[i]) result[i] = logits[i] - peak - std::log(sum);
    return result;
  }

  Vector starts(const Window& window) const {
    Vector logits;
    for (const Vector& state : window.states) logits.push_back(dense("start_logits.dense", state)[0]);
    return log_softmax(logits, window.allowed);
  }

  Vector ends(const Window& window, size_t start) const {
    Vector logits;
    for (const Vector& state : window.states) {
      Vector y = tanh(dense("end_logits.dense_0", joined(state, window.states[start])));
      double mean = 0, variance = 0;
      for (double value : y) mean += value / static_cast<double>(y.size());
      for (double value : y) variance += (value - mean) * (value - mean) / static_cast<double>(y.size());
      for (size_t i = 0; i < y.size(); ++i)
        y[i] =
            (y[i] - mean) / std::sqrt(variance + epsilon) * parameters.at("end_logits.LayerNorm.weight")[i] +
            parameters.at("end_logits.LayerNorm.bias")[i];
      logits.push_back(dense("end_logits.dense_1", y)[0]);
    }
    return log_softmax(logits, window.allowed);
  }

  // keep: the factors of dropout, or empty
  double class_logit(const Window& window, const Vector& keep = {}) const {
    const Vector start = starts(window);
    Vector sum(static_cast<size_t>(hidden), 0.0);
    for (size_t t = 0; t < start.size(); ++t)
      for (size_t i = 0; window.allowed[t] && i < sum.size(); ++i)
        sum[i] += std::exp(start[t]) * window.states[t][i];
    Vector y = tanh(dense("answer_class.dense_0", joined(sum, window.states[0])));
    for (size_t i = 0; i < keep.size(); ++i) y[i] *= keep[i];
    return dense("answer_class.dense_1", y)[0];
  }
};

Reference reference_of(const std::vector<Parameter>& parameters) {
  Reference reference;
  const Config shape = config();
  reference.hidden = shape.hidden_size;
  reference.epsilon = shape.layer_norm_eps;
  for (const Parameter& parameter : parameters)
    reference.parameters[std::string(without_prefix(parameter.name))] =
        Vector(parameter.data, parameter.data + parameter.count());
  return reference;
}

// Question and context of different lengths, one with fewer tokens than the beam is wide, one without any
// context, one without its first position and holes elsewhere.
SequenceBatch windows_of_every_kind() {
  SequenceBatch batch;
  batch.lengths = {20, 9, 5, 33, 12};
  uint64_t drawn = 0;
  for (size_t s = 0; s < batch.lengths.size(); ++s)
    for (int32_t i = 0; i < batch.lengths[s]; ++i) {
      batch.ids.push_back(static_cast<int32_t>(philox(3, 0, drawn++).word[0] % 60));
      batch.types.push_back(s != 2 && i >= 4 ? 1 : 0);
      batch.mask.push_back(s == 4 && (i == 0 || i == 6 || i == 11) ? 0 : 1);
    }
  return batch;
}

// The sequences of a batch with the states [N, T, H] of all positions. Position 0 has one even where it is
// masked.
std::vector<Window> windows_of(const SequenceBatch& batch,
                               const std::function<Vector(size_t, int32_t)>& state) {
  std::vector<Window> windows;
  size_t token = 0;
  for (size_t s = 0; s < batch.lengths.size(); ++s) {
    Window window;
    size_t last = 0;
    for (int32_t t = 0; t < batch.lengths[s]; ++t, ++token) {
      window.states.push_back(state(s, t));
      window.real.push_back(batch.mask[token] != 0);
      window.allowed.push_back(window.real.back() && (t == 0 || batch.types[token] == 1));
      if (window.real.back()) last = static_cast<size_t>(t);
    }
    if (last > 0) window.allowed[last] = false;
    windows.push_back(std::move(window));
  }
  return windows;
}

std::vector<size_t> best_of(const Vector& values, const std::vector<bool>& allowed) {
  std::vector<size_t> order;
  for (size_t i = 0; i < values.size(); ++i)
    if (allowed[i]) order.push_back(i);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] > values[b]; });
  order.resize(std::min<size_t>(order.size(), 5));
  return order;
}

void expect_beam(const float* log_probs, const float* index, const Vector& truth,
                 const std::vector<bool>& allowed, const std::string& what) {
  const std::vector<size_t> best = best_of(truth, allowed);
  for (size_t i = 0; i < 5; ++i) {
    const double expected = i < best.size() ? truth[best[i]] : -1e30;
    const double position = i < best.size() ? static_cast<double>(best[i]) : 0;
    EXPECT(std::fabs(log_probs[i] - expected) <= 1e-4 * std::max(1.0, std::fabs(expected)), what, " ", i,
           ": ", log_probs[i], ", truth ", expected);
    EXPECT(index[i] == position, what, " ", i, ": position ", index[i], ", truth ", position);
  }
}

const OutputTensor& output(const ForwardResult& result, const std::string& name) {
  for (const OutputTensor& tensor : result)
    if (tensor.name == name) return tensor;
  throw Failure{"no output " + name};
}

// The encoder's products in any precision: the head is fp32 in all, on the states that come out with it.
void expect_forward(const Processor& processor, const char* dtype) {
  ModelOptions options;
  const std::string& isa = processor.name();
  options.device = processor.device;
  options.isa = processor.isa;
  options.dtype = dtype;
  const std::shared_ptr<Model> model = Model::create(kConfig, 4, options);
  EXPECT(model->head() == Head::kQuestionAnsweringBeam, "");
  ForwardRequest request;
  request.batch = windows_of_every_kind();
  request.wanted.logits = request.wanted.last_hidden_state = request.wanted.first_hidden_state = true;
  const ForwardResult result = std::move(model->forward({&request})[0]);
  const OutputTensor &states = output(result, "last_hidden_state"),
                     &first = output(result, "first_hidden_state");
  const int64_t hidden = config().hidden_size, length = states.dims[1];
  const std::vector<Window> windows = windows_of(request.batch, [&](size_t s, int32_t t) {
    const float* const from = t == 0 ? first.data.get() + static_cast<int64_t>(s) * hidden
                                     : states.data.get() + (static_cast<int64_t>(s) * length + t) * hidden;
    return Vector(from, from + hidden);
  });
  const Reference reference = reference_of(model->weights()->all());
  const int64_t count = static_cast<int64_t>(windows.size());
  EXPECT((output(result, "start_top_index").dims == std::vector<int64_t>{count, 5}), isa);
  EXPECT((output(result, "end_top_log_probs").dims == std::vector<int64_t>{count, 25}), isa);
  for (int64_t s = 0; s < count; ++s) {
    const Window& window = windows[static_cast<size_t>(s)];
    const Vector starts = reference.starts(window);
    expect_beam(output(result, "start_top_log_probs").data.get() + 5 * s,
                output(result, "start_top_index").data.get() + 5 * s, starts, window.allowed,
                str(isa, " ", dtype, ", starts of sequence ", s));
    const std::vector<size_t> best = best_of(starts, window.allowed);
    for (size_t i = 0; i < 5; ++i) {
      const int64_t at = 25 * s + 5 * static_cast<int64_t>(i);
      const bool found = i < best.size();
      expect_beam(output(result, "end_top_log_probs").data.get() + at,
                  output(result, "end_top_index").data.get() + at,
                  found ? reference.ends(window, best[i]) : starts,
                  found ? window.allowed : std::vector<bool>(starts.size(), false),
                  str(isa, " ", dtype, ", ends of start ", i, " of sequence ", s));
    }
    const double truth = reference.class_logit(window), received = output(result, "cls_logits").data[s];
    EXPECT(std::fabs(received - truth) <= 1e-4 * std::max(1.0, std::fabs(truth)), isa, " ", dtype,
           ", class of sequence ", s, ": ", received, ", truth ", truth);
  }
}

}  // namespace

TEST(answer_beam_forward_on_every_processor) {
  for (const Processor& processor : processors())
    for (const char* dtype : {"fp32", "bf16", "int8"})
      if (processor.device == "cpu" || std::string(dtype) != "int8") expect_forward(processor, dtype);
}

TEST(answer_beam_is_the_same_in_company) {
  const std::shared_ptr<Model> model = Model::create(kConfig, 4, {});
  ForwardRequest all, others;
  all.batch = others.batch = windows_of_every_kind();
  all.wanted.logits = others.wanted.first_hidden_state = true;
  ForwardRequest masked;  // a sequence without any real token
  masked.wanted.logits = true;
  masked.batch.lengths = {2};
  masked.batch.ids = {1, 2};
  masked.batch.mask = {0, 0};
  const std::vector<ForwardResult> together = model->forward({&others, &all, &masked});
  size_t token = 0;
  for (size_t s = 0; s < all.batch.lengths.size(); ++s) {
    ForwardRequest alone;
    alone.wanted.logits = true;
    const int32_t length = all.batch.lengths[s];
    alone.batch.lengths = {length};
    for (int32_t t = 0; t < length; ++t, ++token) {
      alone.batch.ids.push_back(all.batch.ids[token]);
      alone.batch.types.push_back(all.batch.types[token]);
      alone.batch.mask.push_back(all.batch.mask[token]);
    }
    const std::vector<ForwardResult> own = model->forward({&alone});
    for (const OutputTensor& tensor : own[0]) {
      const float* const same =
          output(together[1], tensor.name).data.get() + tensor.count() * static_cast<int64_t>(s);
      EXPECT(!std::memcmp(same, tensor.data.get(), static_cast<size_t>(tensor.count()) * sizeof(float)),
             tensor.name, " of sequence ", s);
    }
  }
  for (const char* name : {"start_top_log_probs", "end_top_log_probs"})
    EXPECT(output(together[2], name).data[0] == -1e30f, name);
  for (const char* name : {"start_top_index", "end_top_index", "cls_logits"})
    EXPECT(output(together[2], name).data[0] == 0, name);
}

namespace {

// The labelled windows, and their loss as the release has it.
struct Labelled {
  LabelledBatch batch;
  Dropout dropout;

  double loss(const Reference& reference, const std::vector<Window>& windows) const {
    double start_sum = 0, end_sum = 0, class_sum = 0;
    int starts = 0, ends = 0, classes = 0;
    for (size_t s = 0; s < windows.size(); ++s) {
      const Window& window = windows[s];
      const auto takes_part = [&](int32_t position) {
        return position >= 0 && position < static_cast<int32_t>(window.allowed.size()) &&
               window.allowed[static_cast<size_t>(position)];
      };
      const int32_t start = batch.start_positions[s], end = batch.end_positions[s];
      if (takes_part(start)) {
        start_sum -= reference.starts(window)[static_cast<size_t>(start)], ++starts;
        if (takes_part(end))
          end_sum -= reference.ends(window, static_cast<size_t>(start))[static_cast<size_t>(end)], ++ends;
      }
      if (batch.is_impossible[s] == kIgnoredLabel) continue;
      Vector keep;
      for (int64_t i = 0; i < reference.hidden; ++i) {
        const uint32_t word =
            philox(dropout.seed, dropout.stream, s << 16 | static_cast<uint64_t>(i / 4)).word[i % 4];
        keep.push_back(word < dropout.probability * 4294967296.0 ? 0 : 1 / (1 - double{dropout.probability}));
      }
      const double z = reference.class_logit(window, keep), p = 1 / (1 + std::exp(-z));
      class_sum -= std::log(batch.is_impossible[s] ? p : 1 - p), ++classes;
    }
    return (start_sum / std::max(1, starts) + end_sum / std::max(1, ends) +
            class_sum / std::max(1, classes)) /
           2;
  }
};

Labelled labelled(float dropout) {
  Labelled labels;
  labels.batch.sequences = windows_of_every_kind();
  labels.batch.start_positions = {7, 0, 2, 30, 5};  // the third is in the question: it takes no part
  labels.batch.end_positions = {11, 0, 3, 99,
                                10};  // the fourth lies outside, the fifth is the last separator
  labels.batch.is_impossible = {0, 1, 1, kIgnoredLabel, 0};
  labels.dropout = {dropout, 11, 12};
  return labels;
}

}  // namespace

// The gradient of every parameter of the head and of every hidden state, by differences in double.
TEST(answer_beam_gradients_on_every_processor) {
  const Config shape = config();
  const int64_t hidden = shape.hidden_size, stride = row_stride(hidden);
  const auto initial = Weights::create(shape, Head::kQuestionAnsweringBeam, 6);
  for (const Processor& processor : processors())
    for (float dropout : {0.0f, 0.3f}) {
      const Labelled labels = labelled(dropout);
      const std::string& isa = processor.name();
      const std::unique_ptr<Backend> backend =
          make_backend(processor.device, Precision::kFp32, processor.isa, 2);
      BackendLimits limits;
      limits.max_width = 3 * hidden;
      limits.max_length = shape.max_position_embeddings;
      limits.head_size = shape.head_size();
      limits.training = true;
      backend->reserve(limits);
      ParameterSet weights(initial->all(), *backend), gradients(initial->all(), *backend);
      weights.copy_from(initial->all());
      // Biases too shall matter.
      for (const char* name :
           {"end_logits.dense_0.bias", "answer_class.dense_0.bias", "end_logits.LayerNorm.bias"}) {
        std::vector<float> bias;
        for (int64_t i = 0; i < hidden; ++i)
          bias.push_back(static_cast<float>(open_unit(philox(8, 0, static_cast<uint64_t>(i)).word[0]) - 0.5));
        backend->upload(weights.of(name), bias.data(), bias.size());
      }
      TrainingAnswerBeam head(shape, weights, gradients, *backend);

      const std::vector<int32_t> no_pairs;
      const PackedBatch packed({{&labels.batch.sequences, &no_pairs, true, true}});
      std::vector<float> x(static_cast<size_t>(packed.rows() * stride), 0.0f), dx(x.size(), 0.0f);
      for (int64_t row = 0; row < packed.rows(); ++row)
        for (int64_t i = 0; i < hidden; ++i)
          x[row * stride + i] = static_cast<float>(
              2 * open_unit(philox(9, static_cast<uint64_t>(row), static_cast<uint64_t>(i)).word[0]) - 1);
      const std::vector<LossPart> parts =
          head.forward_backward(dx.data(), x.data(), packed, labels.batch, labels.dropout);

      const ParameterValues weight_values = weights.values();
      Reference reference = reference_of(weight_values.parameters);
      std::vector<Window> windows = windows_of(labels.batch.sequences, [&](size_t s, int32_t t) {
        const int64_t row = packed.result_row(static_cast<int64_t>(s), t);
        return row < 0 ? Vector(static_cast<size_t>(hidden), 0.0)
                       : Vector(x.data() + row * stride, x.data() + row * stride + hidden);
      });
      const double truth = labels.loss(reference, windows);
      EXPECT(std::fabs(parts[0].mean + parts[1].mean - truth) <= 1e-5 * truth, isa, ": loss ",
             parts[0].mean + parts[1].mean, ", truth ", truth);
      EXPECT(parts[0].count == 4 + 2 && parts[1].count == 4, parts[0].count, " and ", parts[1].count);
      const std::vector<LossPart> again =
          head.forward_backward(nullptr, x.data(), packed, labels.batch, labels.dropout);
      EXPECT(again[0].mean == parts[0].mean && again[1].mean == parts[1].mean, "the loss of an evaluation");

      const auto slope = [&](double& value) {
        constexpr double kStep = 1e-5;
        const double middle = value;
        double losses[2];
        for (int side = 0; side < 2; ++side) {
          value = middle + (side ? -kStep : kStep);
          losses[side] = labels.loss(reference, windows);
        }
        value = middle;
        return (losses[0] - losses[1]) / (2 * kStep);
      };
      double error = 0, largest = 0;
      const auto compare = [&](double expected, double received) {
        error = std::max(error, std::fabs(expected - received));
        largest = std::max(largest, std::fabs(expected));
      };
      const ParameterValues gradient_values = gradients.values();
      for (const Parameter& gradient : gradient_values.parameters) {
        if (gradient.name.rfind("albert.", 0) == 0) continue;
        error = 0, largest = 1e-3;
        Vector& values = reference.parameters.at(gradient.name);
        // Some of the values of large matrices; an odd distance visits every column.
        const size_t distance = values.size() > 100 ? 31 : 1;
        for (size_t i = 0; i < values.size(); i += distance) compare(slope(values[i]), gradient.data[i]);
        EXPECT(error <= 1e-4 * largest, isa, " ", gradient.name, ": error ", error, " of ", largest);
      }
      for (size_t s = 0; s < windows.size(); ++s) {
        error = 0, largest = 1e-3;
        for (size_t t = 0; t < windows[s].states.size(); ++t) {
          const int64_t row = packed.result_row(static_cast<int64_t>(s), static_cast<int32_t>(t));
          for (int64_t i = t % 3; row >= 0 && i < hidden; i += 3)
            compare(slope(windows[s].states[t][i]), dx[row * stride + i]);
        }
        EXPECT(error <= 1e-4 * largest, isa, " states of sequence ", s, ": error ", error, " of ", largest);
      }
    }
}

}  // namespace albert::test
