// Loading, checking of requests, and the forward pass over several of them at once.
#include "model.h"

#include <algorithm>

#include "device.h"
#include "encoder.h"
#include "heads.h"
#include "results.h"
#include "support/error.h"
#include "workspace.h"

namespace albert {
namespace {

template <typename... Args>
void require(bool condition, const Args&... message) {
  check(condition, ErrorCode::kInvalidArgument, message...);
}

// Which rows of a request the last layer must finish.
BatchItem item_of(const ForwardRequest& request, Head head) {
  const WantedOutputs& wanted = request.wanted;
  const bool token_logits = head == Head::kTokenClassification || head == Head::kQuestionAnswering ||
                            head == Head::kQuestionAnsweringBeam ||
                            (is_language(head) && request.logits_rows.empty());
  BatchItem item;
  item.sequences = &request.batch;
  item.pairs = &request.logits_rows;
  item.pooled = wanted.first_hidden_state || wanted.pooled() ||
                (wanted.logits && needs_first_row(head) && !is_language(head));
  item.every_row = wanted.last_hidden_state || wanted.mean_hidden_state || wanted.hidden_states ||
                   wanted.attentions || (wanted.logits && token_logits);
  return item;
}

}  // namespace

// Everything that computes: weights in the backend's order, and memory for activations.
struct Model::Packed {
  Packed(const Config& config, Head head, const Weights& weights, Precision precision,
         const Calibration* calibration, Backend& backend)
      : encoder(config, weights, precision, calibration, backend),
        heads(config, head, weights, backend),
        activations(backend),
        head_activations(backend),
        host_activations(backend, Place::kHost) {}

  size_t bytes() const {
    return encoder.bytes() + heads.bytes() + activations.bytes() + head_activations.bytes() +
           host_activations.bytes();
  }

  EncoderWeights encoder;
  HeadWeights heads;
  Workspace activations, head_activations, host_activations;
};

// For a scope that computes, however it ends.
struct Model::MemoryCount {
  explicit MemoryCount(Model& of) : model(of) {}
  ~MemoryCount() {
    if (model.packed_) model.memory_bytes_ = model.packed_->bytes();
  }
  Model& model;
};

Model::Model(Config config, const ModelOptions& options)
    : config_(std::move(config)),
      head_(options.head.value_or(config_.head)),
      precision_(precision_of(options.dtype, {Precision::kFp32, Precision::kBf16, Precision::kInt8})),
      backend_(make_backend(options.device, precision_, options.isa, options.threads)) {
  BackendLimits limits;
  limits.precision = precision_;
  limits.max_width = std::max({config_.embedding_size, config_.hidden_size, config_.intermediate_size});
  if (head_ == Head::kQuestionAnsweringBeam)
    limits.max_width = std::max(limits.max_width, 2 * int64_t{config_.hidden_size});
  limits.max_length = config_.max_position_embeddings;
  limits.head_size = config_.head_size();
  require(precision_ != Precision::kInt8 || limits.max_width <= kMaxInt8Depth,
          "expected products of a depth of at most ", kMaxInt8Depth,
          " for dtype 'int8', whose sums have 32 bits, but this model has one of ", limits.max_width,
          "; load it as bf16");
  backend_->reserve(limits);
  require(precision_ == Precision::kInt8 || options.calibration.empty(),
          "expected dtype 'int8' for a model with a calibration but received '", options.dtype, "'");
}

void Model::replace_weights(std::unique_ptr<Weights> weights) {
  std::lock_guard<std::mutex> computing(backend_mutex_);
  const MemoryCount count(*this);
  std::shared_ptr<const Weights> owned(std::move(weights));
  packed_ = std::make_unique<Packed>(config_, head_, *owned, precision_, calibration_.get(), *backend_);
  // From here on nothing throws: what is packed points into its weights.
  owned->release_pages();
  std::lock_guard<std::mutex> lock(weights_mutex_);
  weights_.swap(owned);  // those before go when nobody waits for the lock
}

std::shared_ptr<const Weights> Model::weights() const {
  std::unique_lock<std::mutex> lock(weights_mutex_);
  std::shared_ptr<const Weights> weights = weights_;
  lock.unlock();
  weights->require_intact();
  return weights;
}

std::shared_ptr<Model> Model::load(const std::string& config_json, const std::string& config_name,
                                   const std::string& weights_path, const ModelOptions& options,
                                   const FreshParameters& fresh) {
  std::shared_ptr<Model> model(new Model(Config::parse(config_json, config_name), options));
  std::unique_ptr<Weights> weights =
      Weights::load(model->config_, model->head_, weights_path, &model->warnings_, fresh);
  if (!options.calibration.empty()) {
    model->calibration_ = std::make_unique<Calibration>(model->config_);
    model->calibration_->load(options.calibration, *weights);
  }
  model->replace_weights(std::move(weights));
  return model;
}

std::shared_ptr<Model> Model::create(const std::string& config_json, uint64_t seed,
                                     const ModelOptions& options) {
  std::shared_ptr<Model> model(new Model(Config::parse(config_json, "config"), options));
  model->replace_weights(Weights::create(model->config_, model->head_, seed));
  return model;
}

void Model::calibrate(const SequenceBatch& batch, const std::string& path) {
  require(precision_ == Precision::kFp32 && backend_->computes_on_host(),
          "expected a model in fp32 on the CPU to calibrate with: load it with dtype: 'fp32', device: 'cpu'");
  albert::validate(batch, config_, Head::kBase);
  std::lock_guard<std::mutex> computing(backend_mutex_);
  const MemoryCount count(*this);
  weights_->require_intact();
  Calibration calibration(config_);
  EncoderTaps taps;
  taps.calibration = &calibration;
  constexpr int64_t kTokensAtOnce = 4096;
  SequenceBatch part;
  int64_t token = 0;
  for (size_t s = 0; s < batch.lengths.size(); ++s) {
    const int64_t end = token + batch.lengths[s];
    const auto append = [&](auto& to, const auto& from) {
      if (!from.empty()) to.insert(to.end(), from.begin() + token, from.begin() + end);
    };
    append(part.ids, batch.ids);
    append(part.types, batch.types);
    append(part.mask, batch.mask);
    part.lengths.push_back(batch.lengths[s]);
    token = end;
    if (s + 1 < batch.lengths.size() && static_cast<int64_t>(part.ids.size()) < kTokensAtOnce) continue;
    const std::vector<int32_t> no_pairs;
    const PackedBatch packed({{&part, &no_pairs, false, true}});
    encoder_forward(*backend_, config_, packed_->encoder, packed, packed_->activations, taps,
                    [] { return false; });
    part = {};
  }
  calibration.save(path, *weights_);
}

OutputTensor::OutputTensor(std::string output, std::vector<int64_t> shape)
    : name(std::move(output)), dims(std::move(shape)) {
  check(count() >= 0, ErrorCode::kOutOfMemory, "expected an output that fits into memory but ", name,
        " has the dimensions ", shape_text(dims), "; use smaller batches");
  data.reset(new float[static_cast<size_t>(count())]);
}

void validate(const SequenceBatch& batch, const Config& config, Head head) {
  require(!batch.lengths.empty(), "expected at least one sequence in input_ids but received none");
  int64_t total = 0;
  for (size_t s = 0; s < batch.lengths.size(); ++s) {
    require(batch.lengths[s] > 0,
            "expected every sequence of input_ids to hold at least one id but sequence ", s, " is empty");
    check(batch.lengths[s] <= config.max_position_embeddings, ErrorCode::kTooLong, "expected at most ",
          config.max_position_embeddings, " tokens (max_position_embeddings) but sequence ", s, " has ",
          batch.lengths[s], "; truncate it or split it into windows");
    total += batch.lengths[s];
  }
  // A pooled head may add a row to each sequence.
  require(total + static_cast<int64_t>(batch.lengths.size()) < INT32_MAX, "expected at most ", INT32_MAX,
          " tokens in a batch but received ", total, "; split it");
  const auto same_size = [&](size_t size, const char* name) {
    require(size == 0 || static_cast<int64_t>(size) == total, "expected ", name, " to have ", total,
            " values, as many as input_ids, but received ", size);
  };
  require(static_cast<int64_t>(batch.ids.size()) == total, "expected the lengths to add up to ",
          batch.ids.size(), " ids but received ", total);
  same_size(batch.types.size(), "token_type_ids");
  same_size(batch.mask.size(), "attention_mask");
  if (head == Head::kMultipleChoice)
    require(batch.choices > 0 && batch.lengths.size() % static_cast<size_t>(batch.choices) == 0,
            "expected the same number of choices for every example but received ", batch.lengths.size(),
            " sequences and ", batch.choices, " choices");

  size_t token = 0;
  for (size_t s = 0; s < batch.lengths.size(); ++s) {
    for (int32_t position = 0; position < batch.lengths[s]; ++position, ++token) {
      const int32_t id = batch.ids[token];
      check(id >= 0 && id < config.vocab_size, ErrorCode::kOutOfVocabulary, "expected ids from 0 to ",
            config.vocab_size - 1, " but received ", id, " at position ", position, " of sequence ", s);
      if (batch.types.empty()) continue;
      const int32_t type = batch.types[token];
      require(type >= 0 && type < config.type_vocab_size, "expected token_type_ids from 0 to ",
              config.type_vocab_size - 1, " but received ", type, " at position ", position, " of sequence ",
              s);
    }
  }
}

void Model::validate(const ForwardRequest& request) const {
  const SequenceBatch& batch = request.batch;
  albert::validate(batch, config_, head_);
  const WantedOutputs& wanted = request.wanted;
  require(wanted.any(), "expected at least one output to be asked for");
  require(!wanted.sop_logits || head_ == Head::kPretraining,
          "expected a 'pretraining' model for sop_logits but this one is '", to_string(head_), "'");
  require(!wanted.pooler_output || is_pooled(head_),
          "expected a head with a pooler but this model's head is '", to_string(head_),
          "'; load it with head: 'base' for pooler_output");
  require(!wanted.logits || head_ != Head::kBase,
          "expected a model with a task head but this one is 'base'; load it with another head for logits");
  if (request.logits_rows.empty()) return;
  require(!is_language(head_) || wanted.logits,
          "expected logits among the outputs for positions, which choose theirs");
  require(is_language(head_),
          "expected a masked-language head for logits at chosen positions but "
          "this model's head is '",
          to_string(head_), "'");
  require(request.logits_rows.size() % 2 == 0, "expected (sequence, position) pairs");
  std::vector<size_t> begin{0};
  for (int32_t length : batch.lengths) begin.push_back(begin.back() + static_cast<size_t>(length));
  for (size_t i = 0; i < request.logits_rows.size(); i += 2) {
    const int32_t s = request.logits_rows[i], position = request.logits_rows[i + 1];
    require(s >= 0 && s < static_cast<int32_t>(batch.lengths.size()) && position >= 0 &&
                position < batch.lengths[s] && (batch.mask.empty() || batch.mask[begin[s] + position]),
            "expected positions of real tokens but received position ", position, " of sequence ", s);
  }
}

std::vector<ForwardResult> Model::forward(const std::vector<const ForwardRequest*>& requests) {
  std::lock_guard<std::mutex> computing(backend_mutex_);
  const MemoryCount count(*this);
  if (backend_->computes_on_host())
    weights_->require_intact();  // embeddings and norms are read where they lie
  std::vector<BatchItem> items;
  bool hidden_states = false, attentions = false;
  for (const ForwardRequest* request : requests) {
    items.push_back(item_of(*request, head_));
    hidden_states |= request->wanted.hidden_states;
    attentions |= request->wanted.attentions;
  }
  if (hidden_states || attentions)  // the taps of a batch see all of its rows
    for (BatchItem& item : items) item.every_row = true;
  const PackedBatch batch(items);

  EncoderTaps taps;
  std::optional<OutputTensor> hidden_tap, attention_tap;
  if (hidden_states) {
    hidden_tap.emplace("hidden_states", std::vector<int64_t>{config_.num_hidden_layers + 1, batch.rows(),
                                                             config_.hidden_size});
    taps.hidden_states = hidden_tap->data.get();
  }
  if (attentions) {
    taps.attention_begin.push_back(0);
    for (size_t s = 0; s < batch.keys.size(); ++s) {
      const int64_t rows = batch.row_begin[s + 1] - batch.row_begin[s];
      taps.attention_begin.push_back(taps.attention_begin.back() + rows * batch.keys[s]);
    }
    attention_tap.emplace("attentions",
                          std::vector<int64_t>{config_.num_hidden_layers, config_.inner_group_num,
                                               config_.num_attention_heads, taps.attention_begin.back()});
    taps.attentions = attention_tap->data.get();
  }

  const auto is_cancelled = [](const ForwardRequest* request) { return request->is_cancelled(); };
  const float* hidden =
      encoder_forward(*backend_, config_, packed_->encoder, batch, packed_->activations, taps,
                      [&] { return std::all_of(requests.begin(), requests.end(), is_cancelled); });
  std::vector<ForwardResult> results(requests.size());
  if (!hidden) return results;
  Results builder(*backend_, config_, head_, packed_->heads, batch, hidden, taps, packed_->head_activations,
                  packed_->host_activations);
  for (size_t i = 0; i < requests.size(); ++i)
    if (!is_cancelled(requests[i])) results[i] = builder.of(static_cast<int64_t>(i), *requests[i]);
  return results;
}

}  // namespace albert
