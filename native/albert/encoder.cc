// The encoder's loop over layers, run shard by shard.
#include "encoder.h"

#include <atomic>

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

// A worker's share of a batch: some of its sequences.
struct Shard {
  int64_t sequence;      // the first
  Segments all, wanted;  // every row a query, and the queries of the last block
  const Activations& own;
  float* finished;  // [wanted rows, row_stride(H)] of the result
};

// Takes a shard through all layers. False where `stopped`, polled between them, says so.
bool shard_forward(Backend& backend, const Config& config, const EncoderWeights& weights,
                   const PackedBatch& batch, const Shard& shard, const EncoderTaps& taps,
                   const std::function<bool()>& stopped) {
  const int64_t hidden = config.hidden_size, stride = row_stride(hidden);
  const int64_t row = batch.row_begin[static_cast<size_t>(shard.sequence)], rows = shard.all.rows();
  const int64_t layers = config.num_hidden_layers, inner_groups = config.inner_group_num;
  const Activations& own = shard.own;
  float* x = own.stream ? own.stream : shard.finished;
  const auto tap_hidden = [&](int64_t index) {
    if (taps.hidden_states)
      backend.gather_rows(taps.hidden_states + (index * batch.rows() + row) * hidden, hidden, x, stride,
                          nullptr, hidden, rows);
  };
  backend.embedding_forward(own.embeddings, nullptr, batch.ids.data() + row, batch.types.data() + row,
                            batch.positions.data() + row, weights.embedding, rows);
  Observer{taps.calibration, 0}(ProductInput::kEmbeddings, own.embeddings, rows);
  backend.linear_forward(x, stride, own.embeddings, row_stride(config.embedding_size), *weights.map,
                         Activation::kIdentity, rows);
  tap_hidden(0);
  for (int32_t layer = 0; layer < layers; ++layer) {
    if (stopped()) return false;
    const AttentionWeights* attention = &weights.attention[config.attention_group(layer) * inner_groups];
    const FeedForwardWeights* feed_forward =
        &weights.feed_forward[config.feed_forward_group(layer) * inner_groups];
    for (int64_t k = 0; k < inner_groups; ++k) {
      const int64_t block = layer * inner_groups + k;
      const bool last = block == layers * inner_groups - 1;
      float* probabilities = nullptr;
      if (taps.attentions)
        probabilities =
            taps.attentions + own.heads.heads * (block * taps.attention_begin.back() +
                                                 taps.attention_begin[static_cast<size_t>(shard.sequence)]);
      const Observer observe{taps.calibration, block};
      if (block == 0 && weights.first_qkv) {
        backend.qkv_forward(own.heads, own.embeddings, *weights.first_qkv, rows);
      } else {
        observe(ProductInput::kBlock, x, rows);
        backend.qkv_forward(own.heads, x, *attention[k].qkv, rows);
      }
      x = block_forward(backend, config, attention[k], feed_forward[k], last ? shard.wanted : shard.all, own,
                        x, shard.finished, probabilities, observe);
    }
    tap_hidden(layer + 1);
  }
  return true;
}

}  // namespace

const float* encoder_forward(Backend& backend, const Config& config, const EncoderWeights& weights,
                             const PackedBatch& batch, Workspace& workspace, const EncoderTaps& taps,
                             const std::function<bool()>& cancelled) {
  const int64_t stride = row_stride(config.hidden_size);
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

  backend.run(plan, [&](Backend& ops, int64_t worker, int64_t index) {
    const int32_t sequence = plan.begin[index], count = plan.begin[index + 1] - sequence;
    const int64_t row = batch.row_begin[sequence];
    const Segments all = batch.segments(sequence, count, false),
                   wanted = batch.segments(sequence, count, true);
    if (all.rows() == 0) return;
    const Activations& own = activations[worker];
    float* const finished = result + (selects ? batch.query_begin[sequence] : row) * stride;
    const Shard shard{sequence, all, wanted, own, finished};
    const auto pass = [&] {
      return shard_forward(ops, config, weights, batch, shard, taps, [&] {
        if (!stopped && cancelled()) stopped = true;
        return stopped.load();
      });
    };
    if (taps.hidden_states || taps.attentions || taps.calibration) {
      pass();
      return;
    }
    const PassInputs inputs{batch.ids.data() + row,
                            batch.types.data() + row,
                            batch.positions.data() + row,
                            all.rows(),
                            all,
                            wanted};
    ops.run_pass(inputs,
                 {&weights, finished, own.heads.query, own.heads.key, own.heads.value, own.embeddings,
                  own.context, own.stream},
                 pass);
  });
  return stopped ? nullptr : result;
}

}  // namespace albert
