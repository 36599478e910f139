// The training loop over layers, forward and backward.
#include "encoder.h"

#include "support/error.h"

namespace albert {
namespace {

// Places of dropout: the embeddings, then three in each block.
constexpr uint64_t kEmbeddingPlace = 0;
uint64_t probability_place(int64_t block) { return static_cast<uint64_t>(3 * block + 1); }
uint64_t attention_place(int64_t block) { return static_cast<uint64_t>(3 * block + 2); }
uint64_t feed_forward_place(int64_t block) { return static_cast<uint64_t>(3 * block + 3); }

size_t matrix_floats(int64_t rows, int64_t width) { return static_cast<size_t>(rows * row_stride(width)); }

}  // namespace

TrainingEncoder::TrainingEncoder(const Config& config, Precision precision, bool recompute,
                                 ParameterSet& weights, ParameterSet& gradients, Backend& backend)
    : config_(config),
      backend_(backend),
      recompute_(recompute),
      head_precision_(backend.training_heads(precision, config.head_size())),
      embedding_norm_("embeddings.LayerNorm", config.layer_norm_eps, weights, gradients),
      workspace_(backend) {
  const int64_t hidden = config.hidden_size, inner = config.intermediate_size, width = config.embedding_size;
  const auto table = [&](ParameterSet& set, const char* name) {
    return set.of(str("embeddings.", name, "_embeddings.weight"));
  };
  embedding_ = {table(weights, "word"), table(weights, "position"), table(weights, "token_type"),
                embedding_norm_.weights, width};
  embedding_gradient_ = {table(gradients, "word"), table(gradients, "position"),
                         table(gradients, "token_type")};
  const auto linear = [&](const std::vector<std::string>& names, int64_t in, int64_t out) {
    return TrainingLinear(names, in, out, precision, weights, gradients, backend);
  };
  const auto norm = [&](const std::string& name) {
    return TrainingNorm(name, config.layer_norm_eps, weights, gradients);
  };
  map_ = std::make_unique<TrainingLinear>(linear({"encoder.embedding_hidden_mapping_in"}, width, hidden));
  for (int32_t group = 0; group < config.attention_groups(); ++group)
    for (int32_t k = 0; k < config.inner_group_num; ++k) {
      const std::string name = block_name(group, k) + "attention.";
      attention_.push_back({linear({name + "query", name + "key", name + "value"}, hidden, hidden),
                            linear({name + "dense"}, hidden, hidden), norm(name + "LayerNorm")});
      // A key's bias adds the same to all scores of a query.
      attention_.back().qkv.without_bias_gradient(1);
    }
  for (int32_t group = 0; group < config.feed_forward_groups(); ++group)
    for (int32_t k = 0; k < config.inner_group_num; ++k) {
      const std::string name = block_name(group, k);
      feed_forward_.push_back({linear({name + "ffn"}, hidden, inner),
                               linear({name + "ffn_output"}, inner, hidden),
                               norm(name + "full_layer_layer_norm")});
    }
}

void TrainingEncoder::repack() {
  map_->repack();
  for (AttentionPart& part : attention_) part.qkv.repack(), part.output.repack();
  for (FeedForwardPart& part : feed_forward_) part.up.repack(), part.down.repack();
}

const TrainingEncoder::AttentionPart& TrainingEncoder::attention_of(int64_t block) const {
  const int64_t inner = config_.inner_group_num;
  return attention_[config_.attention_group(static_cast<int32_t>(block / inner)) * inner + block % inner];
}

const TrainingEncoder::FeedForwardPart& TrainingEncoder::feed_forward_of(int64_t block) const {
  const int64_t inner = config_.inner_group_num;
  return feed_forward_[config_.feed_forward_group(static_cast<int32_t>(block / inner)) * inner +
                       block % inner];
}

// ---- activations

TrainingEncoder::Saved TrainingEncoder::take_saved(int64_t rows) {
  Saved saved{};
  saved.heads.heads = config_.num_attention_heads;
  saved.heads.size = config_.head_size();
  saved.heads.precision = head_precision_;
  saved.heads.stride = backend_.head_stride(saved.heads.size, head_precision_);
  const size_t head = saved.heads.floats(rows);
  const auto take = [&](int64_t width) { return workspace_.take(matrix_floats(rows, width)); };
  saved.heads.query = workspace_.take(head);
  saved.heads.key = workspace_.take(head);
  saved.heads.value = workspace_.take(head);
  saved.context = take(config_.hidden_size);
  saved.attention_sum = take(config_.hidden_size);
  saved.middle = take(config_.hidden_size);
  saved.inner = take(config_.intermediate_size);
  saved.output_sum = take(config_.hidden_size);
  return saved;
}

// ---- the loop

const float* TrainingEncoder::forward(const PackedBatch& batch, const DropoutPlaces& dropout) {
  const int64_t rows = batch.rows(), hidden = config_.hidden_size, width = config_.embedding_size;
  const int64_t kept = recompute_ ? 1 : blocks(), inner = config_.intermediate_size;
  batch_ = &batch;
  dropout_ = dropout;
  segments_ = batch.segments(0, static_cast<int64_t>(batch.keys.size()), false);
  selected_ = batch.selected_rows();

  inputs_.resize(static_cast<size_t>(blocks() + 1)), saved_.resize(static_cast<size_t>(kept));
  workspace_.lay_out([&] {
    const auto take = [&](int64_t columns) { return workspace_.take(matrix_floats(rows, columns)); };
    embedding_sum_ = take(width), embeddings_ = take(width);
    for (float*& input : inputs_) input = take(hidden);
    for (Saved& saved : saved_) saved = take_saved(rows);
    inner_ = take(inner), dinner_ = take(inner), dqkv_ = take(3 * hidden);
    dcontext_ = take(hidden), branch_ = take(hidden);
  });

  backend_.embedding_forward(embeddings_, embedding_sum_, batch.ids.data(), batch.types.data(),
                             batch.positions.data(), embedding_, rows);
  if (const Dropout at = hidden_dropout(kEmbeddingPlace); at.probability > 0)
    backend_.dropout_forward(embeddings_, embeddings_, at, width, rows);
  map_->forward(inputs_[0], row_stride(hidden), embeddings_, row_stride(width), rows);
  for (int64_t block = 0; block < blocks(); ++block) {
    Saved& saved = saved_[recompute_ ? 0 : block];
    saved.input = inputs_[block];
    block_forward(block, saved, inputs_[block + 1]);
  }
  return inputs_.back();
}

void TrainingEncoder::backward(float* dx) {
  const int64_t rows = batch_->rows(), hidden = config_.hidden_size, width = config_.embedding_size;
  for (int64_t block = blocks() - 1; block >= 0; --block) {
    Saved& saved = saved_[recompute_ ? 0 : block];
    if (recompute_ && block != blocks() - 1) {
      saved.input = inputs_[block];
      block_forward(block, saved, inputs_[block + 1]);
    }
    block_backward(block, saved, dx);
  }
  map_->backward_weights(dx, row_stride(hidden), embeddings_, row_stride(width), rows);
  map_->backward_input(embeddings_, row_stride(width), dx, row_stride(hidden), false, rows);
  if (const Dropout at = hidden_dropout(kEmbeddingPlace); at.probability > 0)
    backend_.dropout_forward(embeddings_, embeddings_, at, width, rows);
  backend_.layernorm_backward(embeddings_, embedding_norm_.gradient, embeddings_, embedding_sum_,
                              embedding_norm_.weights, width, rows);
  backend_.embedding_backward(embedding_gradient_, embeddings_, batch_->ids.data(), batch_->types.data(),
                              batch_->positions.data(), width, rows);
}

// The last block attends from every row and finishes only those that the loss asks for.
void TrainingEncoder::block_forward(int64_t block, const Saved& saved, float* y) {
  const int64_t rows = selects(block) ? batch_->result_rows() : batch_->rows();
  const int64_t stride = row_stride(config_.hidden_size);
  const int64_t inner_stride = row_stride(config_.intermediate_size);
  const AttentionPart& attention = attention_of(block);
  const FeedForwardPart& feed_forward = feed_forward_of(block);
  const float* input = saved.input;
  backend_.qkv_forward(saved.heads, input, attention.qkv.packed(), batch_->rows());
  backend_.attention_forward(selects(block) ? dcontext_ : saved.context, nullptr, saved.heads, segments_,
                             dropout_.at(config_.attention_probs_dropout_prob, probability_place(block)));
  if (selects(block)) {
    gather(saved.context, dcontext_);
    gather(branch_, input);
    input = branch_;
  }
  attention.output.forward(saved.attention_sum, stride, saved.context, stride, rows);
  backend_.residual_layernorm_forward(saved.middle, saved.attention_sum, input, attention.norm.weights,
                                      hidden_dropout(attention_place(block)), config_.hidden_size, rows);
  feed_forward.up.forward_activation(inner_, saved.inner, saved.middle, config_.hidden_act, rows);
  feed_forward.down.forward(saved.output_sum, stride, inner_, inner_stride, rows);
  backend_.residual_layernorm_forward(y, saved.output_sum, saved.middle, feed_forward.norm.weights,
                                      hidden_dropout(feed_forward_place(block)), config_.hidden_size, rows);
}

void TrainingEncoder::block_backward(int64_t block, const Saved& saved, float* dx) {
  const int64_t rows = selects(block) ? batch_->result_rows() : batch_->rows(), all = batch_->rows();
  const int64_t hidden = config_.hidden_size, stride = row_stride(hidden);
  const int64_t inner_stride = row_stride(config_.intermediate_size), qkv_stride = row_stride(3 * hidden);
  const AttentionPart& attention = attention_of(block);
  const FeedForwardPart& feed_forward = feed_forward_of(block);

  backend_.layernorm_backward(dx, feed_forward.norm.gradient, dx, saved.output_sum, feed_forward.norm.weights,
                              hidden, rows);
  const float* branch = dropped(dx, feed_forward_place(block), rows);
  feed_forward.down.backward_activation(dinner_, inner_, branch, saved.inner, config_.hidden_act, rows);
  feed_forward.down.backward_weights(branch, stride, inner_, inner_stride, rows);
  feed_forward.up.backward_weights(dinner_, inner_stride, saved.middle, stride, rows);
  feed_forward.up.backward_input(dx, stride, dinner_, inner_stride, true, rows);

  backend_.layernorm_backward(dx, attention.norm.gradient, dx, saved.attention_sum, attention.norm.weights,
                              hidden, rows);
  branch = dropped(dx, attention_place(block), rows);
  attention.output.backward_weights(branch, stride, saved.context, stride, rows);
  attention.output.backward_input(dcontext_, stride, branch, stride, false, rows);
  if (selects(block)) {
    spread(dcontext_);
    spread(dx);
  }
  backend_.attention_backward(dqkv_, dcontext_, saved.heads, segments_,
                              dropout_.at(config_.attention_probs_dropout_prob, probability_place(block)));
  attention.qkv.backward_weights(dqkv_, qkv_stride, saved.input, stride, all);
  attention.qkv.backward_input(dx, stride, dqkv_, qkv_stride, true, all);
}

void TrainingEncoder::gather(float* y, const float* x) {
  const int64_t stride = row_stride(config_.hidden_size);
  backend_.gather_rows(y, stride, x, stride, selected_.data(), config_.hidden_size,
                       static_cast<int64_t>(selected_.size()));
}

void TrainingEncoder::spread(float* x) {
  const int64_t width = config_.hidden_size, stride = row_stride(width);
  const int64_t count = static_cast<int64_t>(selected_.size());
  backend_.gather_rows(branch_, stride, x, stride, nullptr, width, count);
  backend_.clear(x, static_cast<size_t>(batch_->rows() * stride));
  backend_.scatter_add_rows(x, stride, branch_, stride, selected_.data(), width, count);
}

const float* TrainingEncoder::dropped(const float* x, uint64_t place, int64_t rows) {
  const Dropout at = hidden_dropout(place);
  if (at.probability == 0) return x;
  backend_.dropout_forward(branch_, x, at, config_.hidden_size, rows);
  return branch_;
}

}  // namespace albert
