// The encoder's loop over layers, run shard by shard, and the packing of its weights.
#include "encoder.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <string>

namespace albert {
namespace {

// Activations of one shard on one worker.
struct Activations {
  Heads heads;        // q, k, v of all rows
  float* embeddings;  // [rows, row_stride(E)]
  float* context;     // [rows, row_stride(H)]
  float* stream;      // likewise, the residual stream; null when it lives in the result from the start
};

Heads heads_of(const Config& config, const Backend& backend, Precision precision) {
  Heads heads;
  heads.heads = config.num_attention_heads;
  heads.size = config.head_size();
  heads.precision = backend.inference_heads(precision);
  heads.stride = backend.head_stride(heads.size, heads.precision);
  return heads;
}

Activations take_activations(const Config& config, const Heads& heads, int64_t rows, bool selects,
                             Workspace& from) {
  Activations activations;
  activations.heads = heads;
  activations.heads.query = from.take(heads.floats(rows));
  activations.heads.key = from.take(heads.floats(rows));
  activations.heads.value = from.take(heads.floats(rows));
  activations.embeddings = from.take(static_cast<size_t>(rows * row_stride(config.embedding_size)));
  const size_t stream = static_cast<size_t>(rows * row_stride(config.hidden_size));
  activations.context = from.take(stream);
  activations.stream = selects ? from.take(stream) : nullptr;
  return activations;
}

// Shows a calibration, if there is one, the inputs of a block's products.
struct Observer {
  Calibration* calibration;
  int64_t block;

  void operator()(ProductInput input, const float* x, int64_t rows) const {
    if (calibration) calibration->observe(input, block, x, rows);
  }
  // The context and the inner activations exist only within an operation otherwise.
  void context(Backend& backend, const Heads& heads, const Segments& segments) const {
    if (!calibration) return;
    const int64_t rows = segments.query_rows(), stride = row_stride(heads.heads * heads.size);
    std::vector<float> context(static_cast<size_t>(rows * stride));
    backend.attention_forward(context.data(), nullptr, heads, segments, {});
    calibration->observe(ProductInput::kContext, block, context.data(), rows);
  }
  void feed_forward(Backend& backend, const Config& config, const PackedLinear& up, const float* x,
                    int64_t rows) const {
    if (!calibration) return;
    calibration->observe(ProductInput::kFeedForward, block, x, rows);
    const int64_t stride = row_stride(up.out);
    std::vector<float> inner(static_cast<size_t>(rows * stride));
    backend.linear_forward(inner.data(), stride, x, row_stride(up.in), up, config.hidden_act, rows);
    calibration->observe(ProductInput::kInner, block, inner.data(), rows);
  }
};

// What follows query, key and value in a post-LayerNorm block, in place on x. With a selection, x of the
// selected rows moves to `selected` and only those rows are finished there. Returns the stream that holds the
// result.
float* block_forward(Backend& backend, const Config& config, const AttentionWeights& attention,
                     const FeedForwardWeights& feed_forward, const Segments& segments,
                     const Activations& activations, float* x, float* selected, float* probabilities,
                     const Observer& observe) {
  const int64_t rows = segments.query_rows();
  if (segments.queries) {
    backend.gather_queries(selected, x, segments, config.hidden_size);
    x = selected;
  }
  observe.context(backend, activations.heads, segments);
  backend.attention_linear_residual_layernorm_forward(
      x, activations.context, probabilities, activations.heads, segments, *attention.output, attention.norm);
  observe.feed_forward(backend, config, *feed_forward.up, x, rows);
  backend.feed_forward_forward(x, *feed_forward.up, config.hidden_act, *feed_forward.down, feed_forward.norm,
                               rows);
  return x;
}

// How far each column of LayerNorm's rows spreads around zero: its normal values have deviation one. Of
// several norms, the widest spread of each column.
std::vector<float> spread_of(const Weights& weights, const std::vector<std::string>& norms, int64_t width) {
  std::vector<float> spread(static_cast<size_t>(width));
  for (const std::string& norm : norms) {
    const float *weight = weights.data(norm + ".weight"), *bias = weights.data(norm + ".bias");
    for (int64_t i = 0; i < width; ++i)
      spread[i] = std::max(spread[i], std::sqrt(weight[i] * weight[i] + bias[i] * bias[i]));
  }
  return spread;
}

// One linear layer after another as a single one: W = V U, b = V a + c for U x + a, then V y + c. Computed on
// the processor in fp32 whatever the backend: by it, where it computes there.
class FoldedLinear {
 public:
  FoldedLinear(const LinearSource& first, int64_t in, const std::vector<LinearSource>& second, int64_t middle,
               Backend& backend)
      : other_(backend.computes_on_host() ? nullptr : make_cpu_backend("", 0)),
        memory_(other_ ? *other_ : backend) {
    Backend& cpu = other_ ? *other_ : backend;
    std::vector<LinearSource> unbiased = second;
    for (LinearSource& part : unbiased) part.bias = nullptr, out_ += part.out;
    const std::unique_ptr<PackedLinear> packed = cpu.pack(unbiased, middle, {});
    // columns: of U and a, as rows
    const auto [columns, products, weight] = memory_.slices({(in + 1) * middle, (in + 1) * out_, in * out_});
    weight_ = weight;
    for (int64_t m = 0; m < middle; ++m) {
      for (int64_t i = 0; i < in; ++i) columns[i * middle + m] = first.weight[m * in + i];
      columns[in * middle + m] = first.bias[m];
    }
    cpu.linear_forward(products, out_, columns, middle, *packed, Activation::kIdentity, in + 1);
    for (int64_t o = 0; o < out_; ++o)
      for (int64_t i = 0; i < in; ++i) weight_[o * in + i] = products[i * out_ + o];
    bias_.assign(products + in * out_, products + (in + 1) * out_);
    int64_t o = 0;
    for (const LinearSource& part : second)
      for (int64_t k = 0; k < part.out; ++k) bias_[o++] += part.bias[k];
  }
  LinearSource source() const { return {weight_, bias_.data(), out_}; }

 private:
  const std::unique_ptr<Backend> other_;
  Workspace memory_;  // megabytes that a heap would keep
  int64_t out_ = 0;
  float* weight_ = nullptr;
  std::vector<float> bias_;
};

}  // namespace

EncoderWeights::EncoderWeights(const Config& config, const Weights& weights, Precision precision,
                               const Calibration* calibration, Backend& backend)
    : placed_(backend) {
  const int64_t embedding_width = config.embedding_size, hidden = config.hidden_size,
                inner = config.intermediate_size;
  const auto place = [&](const char* name, int64_t rows) {
    return placed_.place(weights.data(name), rows * embedding_width);
  };
  const auto source = [&](const std::string& name, int64_t out) {
    return LinearSource{weights.data(name + ".weight"), weights.data(name + ".bias"), out};
  };

  embedding.word = place("embeddings.word_embeddings.weight", config.vocab_size);
  embedding.position = place("embeddings.position_embeddings.weight", config.max_position_embeddings);
  embedding.type = place("embeddings.token_type_embeddings.weight", config.type_vocab_size);
  embedding.norm =
      placed_.place_norm(weights, "embeddings.LayerNorm", config.layer_norm_eps, embedding_width);
  embedding.width = embedding_width;
  const LinearSource map_source = source("encoder.embedding_hidden_mapping_in", hidden);
  // What calibration says of an input, else what is known without: how its LayerNorm spreads it.
  const auto format = [&](ProductInput input, const std::vector<int64_t>& blocks, std::vector<float> spread) {
    return calibration ? calibration->format(input, blocks) : LinearFormat{precision, std::move(spread), {}};
  };
  const LinearFormat of_embedding =
      format(ProductInput::kEmbeddings, {0}, spread_of(weights, {"embeddings.LayerNorm"}, embedding_width));
  map = backend.pack({map_source}, embedding_width, of_embedding);

  const auto qkv_sources = [&](const std::string& name) {
    return std::vector<LinearSource>{source(name + "attention.query", hidden),
                                     source(name + "attention.key", hidden),
                                     source(name + "attention.value", hidden)};
  };
  if (embedding_width < hidden) {
    const FoldedLinear folded(map_source, embedding_width, qkv_sources(block_name(0, 0)), hidden, backend);
    first_qkv = backend.pack({folded.source()}, embedding_width, of_embedding);
  }

  const auto norm = [&](const std::string& name) {
    return placed_.place_norm(weights, name, config.layer_norm_eps, hidden);
  };
  const int32_t attention_groups = config.attention_groups(), inner_groups = config.inner_group_num,
                feed_forward_groups = config.feed_forward_groups();
  // How the rows spread that one of `sets` halves of a block gets from the norm of the other half: that of
  // its own group, or those of all groups where the groups share this half.
  const auto spread_from = [&](const char* other, int32_t sets, int32_t group, int32_t k) {
    const bool own = sets == config.num_hidden_groups;
    std::vector<std::string> norms;
    for (int32_t g = own ? group : 0; g < (own ? group + 1 : config.num_hidden_groups); ++g)
      norms.push_back(block_name(g, k) + other);
    return spread_of(weights, norms, hidden);
  };
  // The blocks that use half k of a group, told by the group of each layer.
  const auto blocks_of = [&](auto group_of_layer, int32_t group, int32_t k) {
    std::vector<int64_t> blocks;
    for (int32_t layer = 0; layer < config.num_hidden_layers; ++layer)
      if ((config.*group_of_layer)(layer) == group) blocks.push_back(int64_t{layer} * inner_groups + k);
    return blocks;
  };
  for (int32_t group = 0; group < attention_groups; ++group) {
    for (int32_t k = 0; k < inner_groups; ++k) {
      const std::string name = block_name(group, k) + "attention.";
      const std::vector<int64_t> blocks = blocks_of(&Config::attention_group, group, k);
      const LinearFormat of_block = format(ProductInput::kBlock, blocks,
                                           spread_from("full_layer_layer_norm", attention_groups, group,
                                                       (k + inner_groups - 1) % inner_groups));
      attention.push_back(
          {backend.pack(qkv_sources(block_name(group, k)), hidden, of_block),
           backend.pack({source(name + "dense", hidden)}, hidden, format(ProductInput::kContext, blocks, {})),
           norm(name + "LayerNorm")});
    }
  }
  for (int32_t group = 0; group < feed_forward_groups; ++group) {
    for (int32_t k = 0; k < inner_groups; ++k) {
      const std::string name = block_name(group, k);
      const std::vector<int64_t> blocks = blocks_of(&Config::feed_forward_group, group, k);
      const LinearFormat of_feed_forward =
          format(ProductInput::kFeedForward, blocks,
                 spread_from("attention.LayerNorm", feed_forward_groups, group, k));
      feed_forward.push_back({backend.pack({source(name + "ffn", inner)}, hidden, of_feed_forward),
                              backend.pack({source(name + "ffn_output", hidden)}, inner,
                                           format(ProductInput::kInner, blocks, {})),
                              norm(name + "full_layer_layer_norm")});
    }
  }
}

size_t EncoderWeights::bytes() const {
  size_t total = placed_.bytes() + map->bytes + (first_qkv ? first_qkv->bytes : 0);
  for (const AttentionWeights& half : attention) total += half.qkv->bytes + half.output->bytes;
  for (const FeedForwardWeights& half : feed_forward) total += half.up->bytes + half.down->bytes;
  return total;
}

const float* encoder_forward(Backend& backend, const Config& config, const EncoderWeights& weights,
                             const PackedBatch& batch, Workspace& workspace, const EncoderTaps& taps,
                             const std::function<bool()>& cancelled) {
  const int64_t hidden = config.hidden_size, stride = row_stride(hidden), layers = config.num_hidden_layers;
  const int64_t inner_groups = config.inner_group_num, total_rows = batch.rows();
  const bool selects = batch.selects();
  const Heads heads = heads_of(config, backend, weights.map->precision);
  const ShardPlan plan = backend.plan(batch.segments(0, static_cast<int64_t>(batch.keys.size()), false));

  float* result = nullptr;
  std::vector<Activations> activations(static_cast<size_t>(plan.workers));
  workspace.lay_out([&] {
    result = workspace.take(static_cast<size_t>(batch.result_rows() * stride));
    for (Activations& own : activations)
      own = take_activations(config, heads, plan.max_rows, selects, workspace);
  });
  std::atomic<bool> stopped{false};

  backend.run(plan, [&](Backend& ops, int64_t worker, int64_t shard) {
    const int32_t sequence = plan.begin[shard], count = plan.begin[shard + 1] - sequence;
    const Segments all = batch.segments(sequence, count, false),
                   wanted = batch.segments(sequence, count, true);
    const int64_t row = batch.row_begin[sequence], rows = all.rows();
    if (rows == 0) return;
    float* const finished = result + (selects ? batch.query_begin[sequence] : row) * stride;
    const Activations& own = activations[worker];
    const auto pass = [&] {
      float* x = selects ? own.stream : finished;
      const auto tap_hidden = [&](int64_t index) {
        if (taps.hidden_states)
          ops.gather_rows(taps.hidden_states + (index * total_rows + row) * hidden, hidden, x, stride,
                          nullptr, hidden, rows);
      };
      ops.embedding_forward(own.embeddings, nullptr, batch.ids.data() + row, batch.types.data() + row,
                            batch.positions.data() + row, weights.embedding, rows);
      Observer{taps.calibration, 0}(ProductInput::kEmbeddings, own.embeddings, rows);
      ops.linear_forward(x, stride, own.embeddings, row_stride(config.embedding_size), *weights.map,
                         Activation::kIdentity, rows);
      tap_hidden(0);
      for (int32_t layer = 0; layer < layers; ++layer) {
        if (stopped || cancelled()) {
          stopped = true;
          return false;
        }
        const AttentionWeights* attention = &weights.attention[config.attention_group(layer) * inner_groups];
        const FeedForwardWeights* feed_forward =
            &weights.feed_forward[config.feed_forward_group(layer) * inner_groups];
        for (int64_t k = 0; k < inner_groups; ++k) {
          const bool last = layer == layers - 1 && k == inner_groups - 1;
          float* probabilities = nullptr;
          if (taps.attentions)
            probabilities =
                taps.attentions + heads.heads * ((layer * inner_groups + k) * taps.attention_begin.back() +
                                                 taps.attention_begin[sequence]);
          const Observer observe{taps.calibration, layer * inner_groups + k};
          if (layer == 0 && k == 0 && weights.first_qkv) {
            ops.qkv_forward(own.heads, own.embeddings, *weights.first_qkv, rows);
          } else {
            observe(ProductInput::kBlock, x, rows);
            ops.qkv_forward(own.heads, x, *attention[k].qkv, rows);
          }
          x = block_forward(ops, config, attention[k], feed_forward[k], last ? wanted : all, own, x, finished,
                            probabilities, observe);
        }
        tap_hidden(layer + 1);
      }
      return true;
    };
    if (taps.hidden_states || taps.attentions || taps.calibration) {
      pass();
      return;
    }
    const PassInputs inputs{
        batch.ids.data() + row, batch.types.data() + row, batch.positions.data() + row, rows, all, wanted};
    ops.run_pass(inputs,
                 {&weights, finished, own.heads.query, own.heads.key, own.heads.value, own.embeddings,
                  own.context, own.stream},
                 pass);
  });
  return stopped ? nullptr : result;
}

}  // namespace albert
