// The encoder's loop over layers, run shard by shard, and the packing of its weights.
#include "encoder.h"

#include <atomic>
#include <cstring>
#include <string>

#include "support/error.h"

namespace albert {
namespace {

// Activations of one shard on one worker.
struct Activations {
  Heads heads;     // q, k, v of all rows
  float* context;  // [rows, row_stride(H)]
  float*
      stream;  // [rows, row_stride(H)] the residual stream; null when it lives in the result from the start
};

size_t activation_floats(const Config& config, const Backend& backend, int64_t rows, bool selects) {
  const size_t head_matrix =
      static_cast<size_t>(config.num_attention_heads * rows * backend.head_stride(config.head_size()));
  const size_t stream = static_cast<size_t>(rows * row_stride(config.hidden_size));
  return 3 * Workspace::rounded(head_matrix) + (selects ? 2 : 1) * Workspace::rounded(stream);
}

Activations take_activations(const Config& config, const Backend& backend, int64_t rows, bool selects,
                             Workspace& from) {
  Activations activations;
  Heads& heads = activations.heads;
  heads.heads = config.num_attention_heads;
  heads.size = config.head_size();
  heads.stride = backend.head_stride(heads.size);
  const size_t head_matrix = static_cast<size_t>(heads.heads * rows * heads.stride);
  heads.query = from.take(head_matrix);
  heads.key = from.take(head_matrix);
  heads.value = from.take(head_matrix);
  const size_t stream = static_cast<size_t>(rows * row_stride(config.hidden_size));
  activations.context = from.take(stream);
  activations.stream = selects ? from.take(stream) : nullptr;
  return activations;
}

// x of the queries' rows, one after another: the residual stream that the last block continues with.
void gather_queries(Backend& backend, float* y, const float* x, const Segments& segments, int64_t width) {
  const int64_t stride = row_stride(width);
  for (int64_t s = 0; s < segments.count; ++s)
    backend.gather_rows(y + segments.first_query(s) * stride, stride, x + segments.first_row(s) * stride,
                        stride, segments.queries + segments.query_begin[s], width, segments.query_count(s));
}

// One post-LayerNorm block in place on x. With a selection, x of the selected rows moves to `selected` and
// only those rows are finished there. Returns the stream that holds the result.
float* block_forward(Backend& backend, const Config& config, const BlockWeights& block,
                     const Segments& segments, const Activations& activations, float* x, float* selected,
                     float* probabilities) {
  int64_t rows = segments.rows();
  backend.qkv_forward(activations.heads, x, *block.qkv, rows);
  backend.attention_forward(activations.context, probabilities, activations.heads, segments);
  if (segments.queries) {
    gather_queries(backend, selected, x, segments, config.hidden_size);
    rows = segments.query_begin[segments.count] - segments.query_begin[0];
    x = selected;
  }
  backend.linear_residual_layernorm_forward(x, activations.context, *block.attention, block.attention_norm,
                                            rows);
  backend.feed_forward_forward(x, *block.up, config.hidden_act, *block.down, block.output_norm, rows);
  return x;
}

LayerNormWeights place_norm(const Weights& weights, const std::string& name, float epsilon, int64_t width,
                            Backend& backend) {
  const auto place = [&](const char* part) {
    return backend.place(weights.data(name + part), static_cast<size_t>(width));
  };
  return {place(".weight"), place(".bias"), epsilon};
}

}  // namespace

EncoderWeights::EncoderWeights(const Config& config, const Weights& weights, Backend& backend) {
  const int64_t embedding_width = config.embedding_size, hidden = config.hidden_size,
                inner = config.intermediate_size;
  const auto place = [&](const char* name, int64_t rows) {
    return backend.place(weights.data(name), static_cast<size_t>(rows * embedding_width));
  };
  const auto source = [&](const std::string& name, int64_t out) {
    return LinearSource{weights.data(name + ".weight"), weights.data(name + ".bias"), out};
  };

  embedding.word = place("embeddings.word_embeddings.weight", config.vocab_size);
  embedding.position = place("embeddings.position_embeddings.weight", config.max_position_embeddings);
  embedding.type = place("embeddings.token_type_embeddings.weight", config.type_vocab_size);
  embedding.norm =
      place_norm(weights, "embeddings.LayerNorm", config.layer_norm_eps, embedding_width, backend);
  embedding.width = embedding_width;
  map = backend.pack({source("encoder.embedding_hidden_mapping_in", hidden)}, embedding_width);
  embedding.map = map.get();

  for (int32_t group = 0; group < config.num_hidden_groups; ++group) {
    for (int32_t k = 0; k < config.inner_group_num; ++k) {
      const std::string name = str("encoder.albert_layer_groups.", group, ".albert_layers.", k, ".");
      BlockWeights block;
      block.qkv =
          backend.pack({source(name + "attention.query", hidden), source(name + "attention.key", hidden),
                        source(name + "attention.value", hidden)},
                       hidden);
      block.attention = backend.pack({source(name + "attention.dense", hidden)}, hidden);
      block.attention_norm =
          place_norm(weights, name + "attention.LayerNorm", config.layer_norm_eps, hidden, backend);
      block.up = backend.pack({source(name + "ffn", inner)}, hidden);
      block.down = backend.pack({source(name + "ffn_output", hidden)}, inner);
      block.output_norm =
          place_norm(weights, name + "full_layer_layer_norm", config.layer_norm_eps, hidden, backend);
      blocks.push_back(std::move(block));
    }
  }
}

size_t EncoderWeights::bytes() const {
  size_t total = map->bytes;
  for (const BlockWeights& block : blocks)
    total += block.qkv->bytes + block.attention->bytes + block.up->bytes + block.down->bytes;
  return total;
}

const float* encoder_forward(Backend& backend, const Config& config, const EncoderWeights& weights,
                             const PackedBatch& batch, Workspace& workspace, const EncoderTaps& taps,
                             const std::function<bool()>& cancelled) {
  const int64_t hidden = config.hidden_size, stride = row_stride(hidden), layers = config.num_hidden_layers;
  const int64_t inner_groups = config.inner_group_num, total_rows = batch.rows();
  const bool selects = batch.selects();
  const ShardPlan plan = backend.plan(batch.segments(0, static_cast<int64_t>(batch.keys.size()), false));

  const size_t result_floats = static_cast<size_t>(batch.result_rows() * stride);
  workspace.reset(Workspace::rounded(result_floats) +
                  static_cast<size_t>(plan.workers) *
                      activation_floats(config, backend, plan.max_rows, selects));
  float* const result = workspace.take(result_floats);
  std::vector<Activations> activations;
  for (int64_t worker = 0; worker < plan.workers; ++worker)
    activations.push_back(take_activations(config, backend, plan.max_rows, selects, workspace));
  std::atomic<bool> stopped{false};

  backend.run(plan, [&](Backend& ops, int64_t worker, int64_t shard) {
    const int32_t sequence = plan.begin[shard], count = plan.begin[shard + 1] - sequence;
    const Segments all = batch.segments(sequence, count, false),
                   wanted = batch.segments(sequence, count, true);
    const int64_t row = batch.row_begin[sequence], rows = all.rows();
    if (rows == 0) return;
    float* const finished = result + (selects ? batch.query_begin[sequence] : row) * stride;
    float* x = selects ? activations[worker].stream : finished;
    const auto tap_hidden = [&](int64_t index) {
      if (taps.hidden_states)
        ops.gather_rows(taps.hidden_states + (index * total_rows + row) * hidden, hidden, x, stride, nullptr,
                        hidden, rows);
    };

    ops.embedding_forward(x, batch.ids.data() + row, batch.types.data() + row, batch.positions.data() + row,
                          weights.embedding, rows);
    tap_hidden(0);
    for (int32_t layer = 0; layer < layers; ++layer) {
      if (stopped || cancelled()) {
        stopped = true;
        return;
      }
      const int32_t group = config.group_of_layer(layer);
      for (int64_t k = 0; k < inner_groups; ++k) {
        const bool last = layer == layers - 1 && k == inner_groups - 1;
        float* probabilities = nullptr;
        if (taps.attentions)
          probabilities = taps.attentions + (layer * inner_groups + k) * taps.attention_begin.back() +
                          taps.attention_begin[sequence];
        x = block_forward(ops, config, weights.blocks[group * inner_groups + k], last ? wanted : all,
                          activations[worker], x, finished, probabilities);
      }
      tap_hidden(layer + 1);
    }
  });
  return stopped ? nullptr : result;
}

}  // namespace albert
