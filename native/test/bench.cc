// Timing of operations, of the encoder and of training, each until its results can be read.
#include "bench.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "albert/device.h"
#include "albert/encoder.h"
#include "backends.h"
#include "train/training_model.h"

namespace albert::test {
namespace {

constexpr int kWarm = 3, kRuns = 15;
const char* const kBase =
    R"({"model_type": "albert", "vocab_size": 30000, "embedding_size": 128, "hidden_size": 768,
        "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
        "hidden_act": "gelu_new", "max_position_embeddings": 512})";

// Median milliseconds of a body, whose work a read of one value waits for.
template <typename Body>
double time_ms(Backend& backend, const Body& body) {
  float* const flag = backend.allocate(1);
  backend.clear(flag, 1);
  std::vector<double> times;
  for (int run = 0; run < kWarm + kRuns; ++run) {
    float value;
    backend.download(&value, flag, 1);
    const auto begin = std::chrono::steady_clock::now();
    body();
    backend.download(&value, flag, 1);
    const std::chrono::duration<double, std::milli> passed = std::chrono::steady_clock::now() - begin;
    if (run >= kWarm) times.push_back(passed.count());
  }
  backend.release(flag);
  std::nth_element(times.begin(), times.begin() + kRuns / 2, times.end());
  return times[kRuns / 2];
}

// Random values, again and again: zeros would be computed with less power.
void fill(Backend& backend, float* memory, size_t floats) {
  static const std::vector<float> values = random_floats(1 << 20);
  for (size_t i = 0; i < floats; i += values.size())
    backend.upload(memory + i, values.data(), std::min(values.size(), floats - i));
}

void print(const std::string& name, Precision precision, double ms, double operations, int64_t tokens) {
  std::printf(
      "{\"case\": \"%s\", \"dtype\": \"%s\", \"ms\": %.4f, \"tflops\": %.3f, \"tokens_per_s\": %.0f}\n",
      name.c_str(), to_string(precision), ms, operations / ms * 1e-9, static_cast<double>(tokens) / ms * 1e3);
  std::fflush(stdout);
}

struct Shape {
  int64_t sequences, length;
  int64_t tokens() const { return sequences * length; }
};

std::string name_of(const std::string& kind, const Shape& shape) {
  return str(kind, " ", shape.sequences, "x", shape.length);
}

SequenceBatch sequences_of(const Shape& shape) {
  SequenceBatch batch;
  batch.lengths.assign(static_cast<size_t>(shape.sequences), static_cast<int32_t>(shape.length));
  for (int64_t i = 0; i < shape.tokens(); ++i) batch.ids.push_back(static_cast<int32_t>(i * 7919 % 30000));
  return batch;
}

// Multiplications and additions of one token through a layer: four H x H products, two H x F, scores and
// context.
double layer_operations(const Config& config, int64_t length) {
  const double hidden = config.hidden_size, inner = config.intermediate_size;
  return 2 * (4 * hidden * hidden + 2 * hidden * inner) + 4 * hidden * static_cast<double>(length);
}

void bench_products(Backend& backend, Precision precision, int64_t rows) {
  struct Shape {
    int64_t in, out;
  };
  for (const Shape& shape : {Shape{768, 2304}, {768, 768}, {768, 3072}, {3072, 768}}) {
    const int64_t in = shape.in, out = shape.out;
    const std::vector<float> weight = random_floats(in * out, 0.05f), bias = random_floats(out);
    const auto packed = backend.pack({{weight.data(), bias.data(), out}}, in, {precision, {}, {}});
    const size_t x_floats = static_cast<size_t>(rows * row_stride(in)),
                 y_floats = static_cast<size_t>(rows * row_stride(out));
    float* const x = backend.allocate(x_floats);
    float* const y = backend.allocate(y_floats);
    fill(backend, x, x_floats);
    const double ms = time_ms(backend, [&] {
      backend.linear_forward(y, row_stride(out), x, row_stride(in), *packed, Activation::kIdentity, rows);
    });
    print(str("linear ", rows, "x", in, "x", out), precision, ms, 2.0 * static_cast<double>(rows * in * out),
          rows);
    backend.release(x);
    backend.release(y);
  }
}

// The operations of a block, each alone.
void bench_block(Backend& backend, const Config& config, const EncoderWeights& weights, Precision precision,
                 const Shape& shape) {
  const int64_t rows = shape.tokens(), hidden = config.hidden_size, inner = config.intermediate_size;
  const SequenceBatch sequences = sequences_of(shape);
  const std::vector<int32_t> no_pairs;
  const PackedBatch batch({{&sequences, &no_pairs, false, true}});
  const Segments segments = batch.segments(0, shape.sequences, false);
  Heads heads;
  heads.heads = config.num_attention_heads;
  heads.size = config.head_size();
  heads.precision = backend.inference_heads(precision);
  heads.stride = backend.head_stride(heads.size, heads.precision);
  const size_t floats = static_cast<size_t>(rows * row_stride(hidden));
  float* memory[5];
  for (float*& block : memory) fill(backend, block = backend.allocate(floats), floats);
  heads.query = memory[0], heads.key = memory[1], heads.value = memory[2];
  float *const x = memory[3], *const context = memory[4];
  const double cells = static_cast<double>(rows), square = static_cast<double>(hidden * hidden);
  const auto show = [&](const char* operation, double operations, const auto& body) {
    print(name_of(str("block ", operation), shape), precision, time_ms(backend, body), operations, rows);
  };
  const AttentionWeights& attention = weights.attention[0];
  const FeedForwardWeights& feed_forward = weights.feed_forward[0];
  show("qkv", 6 * cells * square, [&] { backend.qkv_forward(heads, x, *attention.qkv, rows); });
  show("attention", 4 * cells * static_cast<double>(hidden * shape.length),
       [&] { backend.attention_forward(context, nullptr, heads, segments, {}); });
  show("attention and output", 4 * cells * static_cast<double>(hidden * shape.length) + 2 * cells * square,
       [&] {
         backend.attention_linear_residual_layernorm_forward(x, context, nullptr, heads, segments,
                                                             *attention.output, attention.norm);
       });
  show("feed-forward", 4 * cells * static_cast<double>(hidden * inner), [&] {
    backend.feed_forward_forward(x, *feed_forward.up, config.hidden_act, *feed_forward.down,
                                 feed_forward.norm, rows);
  });
  for (float* block : memory) backend.release(block);
}

void bench_encoder(Backend& backend, const Config& config, const EncoderWeights& weights, Precision precision,
                   const Shape& shape) {
  const SequenceBatch sequences = sequences_of(shape);
  const std::vector<int32_t> no_pairs;
  const PackedBatch batch({{&sequences, &no_pairs, false, true}});
  Workspace workspace(backend);
  const double ms = time_ms(backend, [&] {
    encoder_forward(backend, config, weights, batch, workspace, {}, [] { return false; });
  });
  const double operations =
      static_cast<double>(shape.tokens()) * config.num_hidden_layers * layer_operations(config, shape.length);
  print(name_of("encoder", shape), precision, ms, operations, shape.tokens());
}

void bench_training(const std::string& device, const Config& config, const Weights& weights,
                    Precision precision, const Shape& shape) {
  TrainingOptions options;
  options.device = device;
  options.dtype = to_string(precision);
  TrainingModel model(config, Head::kPretraining, weights, options);
  LabelledBatch batch;
  batch.sequences = sequences_of(shape);
  for (size_t i = 0; i < batch.sequences.ids.size(); ++i)
    batch.labels.push_back(i % 7 == 3 ? batch.sequences.ids[i] : kIgnoredLabel);
  for (int64_t s = 0; s < shape.sequences; ++s) batch.sop_labels.push_back(static_cast<int32_t>(s % 2));
  const double ms = time_ms(model.backend(), [&] { model.forward_backward(batch, DropoutPlaces::none()); });
  const double operations = 3.0 * static_cast<double>(shape.tokens()) * config.num_hidden_layers *
                            layer_operations(config, shape.length);
  print(name_of("training", shape), precision, ms, operations, shape.tokens());
}

}  // namespace

void bench(const BenchOptions& options) {
  const Config config = Config::parse(kBase, "base");
  const std::unique_ptr<Weights> weights = Weights::create(config, Head::kPretraining, 1);
  const auto wanted = [&](const char* kind, const Shape& shape) {
    return shape.tokens() <= options.most_tokens &&
           name_of(kind, shape).find(options.of_name) != std::string::npos;
  };
  for (Precision precision : {Precision::kFp32, Precision::kBf16}) {
    if (!options.dtype.empty() && options.dtype != to_string(precision)) continue;
    const std::unique_ptr<Backend> backend = make_backend(options.device, precision, "", 0);
    backend->reserve(
        {precision, config.intermediate_size, config.max_position_embeddings, config.head_size(), false});
    std::printf("{\"device\": \"%s\", \"isa\": \"%s\"}\n", backend->device(), backend->isa());
    const EncoderWeights encoder(config, *weights, precision, nullptr, *backend);
    for (int64_t rows : {128, 1024, 32768})
      if (wanted("linear", {1, rows})) bench_products(*backend, precision, rows);
    for (const Shape& shape : {Shape{1, 128}, {256, 128}, {64, 512}})
      if (wanted("block", shape)) bench_block(*backend, config, encoder, precision, shape);
    for (const Shape& shape : {Shape{1, 128}, {8, 128}, {64, 128}, {256, 128}, {64, 512}})
      if (wanted("encoder", shape)) bench_encoder(*backend, config, encoder, precision, shape);
    for (const Shape& shape : {Shape{8, 128}, {64, 128}, {256, 128}})
      if (wanted("training", shape)) bench_training(options.device, config, *weights, precision, shape);
  }
}

}  // namespace albert::test
