// The parameter table: which tensors a model has, and how they come from a checkpoint, a seed, and into a
// file.
#include "weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>

#include "checkpoint.h"
#include "initialiser.h"
#include "support/half.h"
#include "support/safetensors.h"

namespace albert {
namespace {

constexpr std::string_view kPrefix = "albert.";
constexpr const char* kWordTable = "embeddings.word_embeddings.weight";
constexpr const char* kDecoder = "predictions.decoder.weight";

}  // namespace

std::string_view without_prefix(std::string_view name) {
  return name.substr(0, kPrefix.size()) == kPrefix ? name.substr(kPrefix.size()) : name;
}

std::string block_name(int32_t group, int32_t k) {
  return str("encoder.albert_layer_groups.", group, ".albert_layers.", k, ".");
}

namespace {

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// Without these there is no model; the pooler and the heads can be drawn afresh and trained.
bool is_encoder(std::string_view name) {
  return starts_with(name, "embeddings.") || starts_with(name, "encoder.");
}

// Collects names and shapes in the order in which Hugging Face's modules register them.
class Table {
 public:
  Table(const Config& config, Head head) : c_(config), prefix_(head == Head::kBase ? "" : kPrefix) {
    embeddings();
    for (int32_t group = 0; group < c_.num_hidden_groups; ++group)
      for (int32_t inner = 0; inner < c_.inner_group_num; ++inner) block(group, inner);
    if (is_pooled(head)) linear(str(prefix_, "pooler."), c_.hidden_size, c_.hidden_size);
    if (is_language(head)) {
      add("predictions.bias", {c_.vocab_size});
      norm("predictions.LayerNorm.", c_.embedding_size);
      linear("predictions.dense.", c_.embedding_size, c_.hidden_size);
    }
    switch (head) {
      case Head::kBase:
      case Head::kMaskedLm:
        break;
      case Head::kPretraining:
        linear("sop_classifier.classifier.", 2, c_.hidden_size);
        break;
      case Head::kSequenceClassification:
      case Head::kTokenClassification:
        linear("classifier.", c_.num_labels, c_.hidden_size);
        break;
      case Head::kQuestionAnswering:
        linear("qa_outputs.", 2, c_.hidden_size);
        break;
      case Head::kQuestionAnsweringBeam:  // as the variables of the ALBERT release are called
        linear("start_logits.dense.", 1, c_.hidden_size);
        linear("end_logits.dense_0.", c_.hidden_size, 2 * int64_t{c_.hidden_size});
        norm("end_logits.LayerNorm.", c_.hidden_size);
        linear("end_logits.dense_1.", 1, c_.hidden_size);
        linear("answer_class.dense_0.", c_.hidden_size, 2 * int64_t{c_.hidden_size});
        add("answer_class.dense_1.weight", {1, c_.hidden_size});
        break;
      case Head::kMultipleChoice:
        linear("classifier.", 1, c_.hidden_size);
        break;
    }
  }

  std::vector<Parameter> parameters;
  std::vector<SharedName> shared_names;

 private:
  void add(std::string name, std::vector<int64_t> shape) {
    parameters.push_back({std::move(name), std::move(shape), nullptr});
  }
  void linear(const std::string& name, int64_t out, int64_t in) {
    add(name + "weight", {out, in});
    add(name + "bias", {out});
  }
  void norm(const std::string& name, int64_t width) {
    add(name + "weight", {width});
    add(name + "bias", {width});
  }

  void embeddings() {
    add(str(prefix_, "embeddings.word_embeddings.weight"), {c_.vocab_size, c_.embedding_size});
    add(str(prefix_, "embeddings.position_embeddings.weight"),
        {c_.max_position_embeddings, c_.embedding_size});
    add(str(prefix_, "embeddings.token_type_embeddings.weight"), {c_.type_vocab_size, c_.embedding_size});
    norm(str(prefix_, "embeddings.LayerNorm."), c_.embedding_size);
    linear(str(prefix_, "encoder.embedding_hidden_mapping_in."), c_.hidden_size, c_.embedding_size);
  }

  void block(int32_t group, int32_t inner) {
    const int64_t hidden = c_.hidden_size;
    const auto name_in = [&](int32_t g) { return str(prefix_, block_name(g, inner)); };
    const std::string name = name_in(group);
    // What `list` adds of a part of the block that exists `sets` times: beyond the last set its names are
    // further ones of group 0's parameters.
    const auto part = [&](int32_t sets, const auto& list) {
      const size_t begin = parameters.size();
      list();
      if (group < sets) return;
      for (size_t i = begin; i < parameters.size(); ++i)
        shared_names.push_back({parameters[i].name, name_in(0) + parameters[i].name.substr(name.size())});
      parameters.erase(parameters.begin() + static_cast<std::ptrdiff_t>(begin), parameters.end());
    };
    part(c_.feed_forward_groups(), [&] { norm(name + "full_layer_layer_norm.", hidden); });
    part(c_.attention_groups(), [&] {
      for (const char* layer : {"query.", "key.", "value.", "dense."})
        linear(name + "attention." + layer, hidden, hidden);
      norm(name + "attention.LayerNorm.", hidden);
    });
    part(c_.feed_forward_groups(), [&] {
      linear(name + "ffn.", c_.intermediate_size, hidden);
      linear(name + "ffn_output.", hidden, c_.intermediate_size);
    });
  }

  const Config& c_;
  std::string_view prefix_;
};

// Index of the first value that is NaN or infinite, or -1.
int64_t first_non_finite(const float* values, int64_t count) {
  constexpr uint32_t kExponent = 0x7f800000u;
  constexpr int64_t kBlock = 4096;  // without a branch on each value the compiler vectorises the scan
  for (int64_t start = 0; start < count; start += kBlock) {
    int64_t end = std::min(count, start + kBlock);
    uint32_t found = 0;
    for (int64_t i = start; i < end; ++i) {
      uint32_t bits;
      std::memcpy(&bits, values + i, sizeof bits);
      found |= (bits & kExponent) == kExponent;
    }
    for (int64_t i = start; found && i < end; ++i)
      if (!std::isfinite(values[i])) return i;
  }
  return -1;
}

// Weights whose values lie in a checkpoint's map, in memory of their own, or some in each.
class StoredWeights : public Weights {
 public:
  StoredWeights(const Config& config, Head head) : config_(config), head_(head) {
    Table table(config, head);
    parameters_ = std::move(table.parameters);
    shared_names_ = std::move(table.shared_names);
    for (size_t i = 0; i < parameters_.size(); ++i) index_.emplace(without_prefix(parameters_[i].name), i);
    for (const SharedName& shared : shared_names_)
      index_.emplace(without_prefix(shared.name), index_.at(std::string(without_prefix(shared.of))));
  }

  void create(uint64_t seed) {
    for (size_t i = 0; i < parameters_.size(); ++i) create(i, seed);
    decoder_ = data(kWordTable);
  }

  void copy(const std::vector<Parameter>& values) {
    const auto same = [](const Parameter& a, const Parameter& b) {
      return a.name == b.name && a.shape == b.shape;
    };
    check(std::equal(parameters_.begin(), parameters_.end(), values.begin(), values.end(), same),
          ErrorCode::kInvalidArgument, "expected values of the ", parameters_.size(),
          " parameters of this model but received those of another configuration or head");
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const size_t count = static_cast<size_t>(parameters_[i].count());
      float* out = allocate(count, parameters_[i].name);
      std::copy_n(values[i].data, count, out);
      parameters_[i].data = out;
    }
    decoder_ = data(kWordTable);
  }

  void load(const std::string& path, std::vector<std::string>* warnings, const FreshParameters& fresh) {
    checkpoint_ = Checkpoint::open(path);
    check_encoder();
    check_copies();
    std::vector<size_t> missing;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const std::string_view name = without_prefix(parameters_[i].name);
      const StoredTensor* tensor = stored(name);
      const bool mismatched = tensor && tensor->shape != parameters_[i].shape;
      if (tensor && !(mismatched && fresh.mismatched && !is_encoder(name)))
        parameters_[i].data = values(*tensor, parameters_[i].shape);
      else
        missing.push_back(i);
    }
    std::string names;
    for (size_t i : missing) {
      create(i, fresh.seed);
      fresh_.push_back(parameters_[i].name);
      names += str(names.empty() ? "" : ", ", parameters_[i].name);
    }
    if (!missing.empty())
      warnings->push_back(
          str(checkpoint_.path(), " has no ", names, fresh.mismatched ? " of these shapes" : "",
              ": drawn afresh, so outputs that use them mean nothing until they are trained"));
    decoder_ = data(kWordTable);
    if (is_language(head_)) load_decoder(warnings);
    in_files_ = checkpoint_.holds(decoder_) ||
                std::any_of(parameters_.begin(), parameters_.end(),
                            [&](const Parameter& parameter) { return checkpoint_.holds(parameter.data); });
  }

  void require_intact() const override {
    if (in_files_) checkpoint_.require_intact();
  }
  void release_pages() const override { checkpoint_.release_pages(); }

 private:
  void check_encoder() const {
    size_t encoder = 0;
    std::vector<std::string_view> missing;
    for (const Parameter& parameter : parameters_) {
      std::string_view name = without_prefix(parameter.name);
      if (!is_encoder(name)) continue;
      ++encoder;
      if (!stored(name)) missing.push_back(parameter.name);
    }
    check(missing.empty(), ErrorCode::kCheckpoint, checkpoint_.path(), ": no tensor '",
          missing.empty() ? std::string_view() : missing[0], "' (", missing.size(), " of the ", encoder,
          " encoder parameters that config.json describes are missing; the file has ", checkpoint_.size(),
          " tensors); expected the weights of this ALBERT configuration");
  }

  // Hugging Face's layout holds a parameter that layers share once for each group: the copies must agree. A
  // file without them says the same.
  void check_copies() const {
    for (const SharedName& shared : shared_names_) {
      const StoredTensor* copy = stored(without_prefix(shared.name));
      if (!copy) continue;
      const StoredTensor* first = stored(without_prefix(shared.of));
      const bool same = copy->dtype == first->dtype && copy->shape == first->shape &&
                        (copy->data == first->data || !std::memcmp(copy->data, first->data, copy->bytes));
      check(same, ErrorCode::kCheckpoint, checkpoint_.path(), ": tensors '", first->name, "' and '",
            copy->name,
            "' differ, but parameter_sharing in config.json says that the layers share them; expected equal "
            "ones: remove parameter_sharing if each layer was trained with its own");
    }
  }

  // Old files keep the output bias under the decoder's name only.
  const StoredTensor* stored(std::string_view name) const {
    const StoredTensor* tensor = checkpoint_.find(std::string(name));
    if (!tensor && name == "predictions.bias") tensor = checkpoint_.find("predictions.decoder.bias");
    return tensor;
  }

  float* allocate(size_t count, const std::string& name) {
    try {
      owned_.push_back(std::unique_ptr<float[]>(new float[count]));
    } catch (const std::bad_alloc&) {
      throw Error(ErrorCode::kOutOfMemory,
                  str("no memory for ", name, ": ", count * sizeof(float),
                      " bytes needed; use a smaller configuration or a larger machine"));
    }
    return owned_.back().get();
  }

  void create(size_t i, uint64_t seed) {
    float* out = allocate(static_cast<size_t>(parameters_[i].count()), parameters_[i].name);
    draw_parameter(config_, parameters_[i], seed, i, out);
    parameters_[i].data = out;
  }

  // The float32 values of a stored tensor of the expected shape, in place where the file has them so.
  const float* values(const StoredTensor& tensor, const std::vector<int64_t>& shape) {
    const std::string& path = checkpoint_.path();
    check(tensor.shape == shape, ErrorCode::kCheckpoint, path, ": tensor '", tensor.name, "' has shape ",
          shape_text(tensor.shape), ", expected ", shape_text(shape),
          " from config.json; the two belong to different models, or heads were pruned or replaced");
    size_t count = static_cast<size_t>(element_count(shape));
    const float* result;
    if (tensor.dtype == DType::kF32 && reinterpret_cast<uintptr_t>(tensor.data) % alignof(float) == 0) {
      result = reinterpret_cast<const float*>(tensor.data);
    } else {
      float* out = allocate(count, tensor.name);
      check(widen(tensor, out), ErrorCode::kCheckpoint, path, ": tensor '", tensor.name, "' has dtype ",
            to_string(tensor.dtype), "; expected F32, F16, BF16 or F64");
      result = out;
    }
    int64_t bad = first_non_finite(result, static_cast<int64_t>(count));
    check(bad < 0, ErrorCode::kCheckpoint, path, ": tensor '", tensor.name, "' holds ",
          bad < 0 ? 0.0f : result[bad], " at index ", bad,
          "; expected finite weights: the training diverged or the file is damaged");
    return result;
  }

  // The decoder is normally the word table; a file may still hold a copy of it, or a matrix trained apart.
  void load_decoder(std::vector<std::string>* warnings) {
    const Parameter& table = *find(kWordTable);
    if (const StoredTensor* tensor = checkpoint_.find(kDecoder)) {
      const float* matrix = values(*tensor, table.shape);
      if (matrix != table.data &&
          std::memcmp(matrix, table.data, static_cast<size_t>(table.count()) * sizeof(float)) != 0) {
        decoder_ = matrix;
        warnings->push_back(str(checkpoint_.path(),
                                ": predictions.decoder.weight differs from the word embeddings; "
                                "it is kept as a decoder of its own"));
      }
    }
    const StoredTensor* bias = checkpoint_.find("predictions.bias");
    const StoredTensor* other = checkpoint_.find("predictions.decoder.bias");
    if (!bias || !other) return;
    const Parameter& used = *find("predictions.bias");
    const float* unused = values(*other, used.shape);
    if (!std::equal(unused, unused + used.count(), used.data))
      warnings->push_back(str(checkpoint_.path(),
                              ": predictions.bias and predictions.decoder.bias differ; "
                              "predictions.bias is used, as Hugging Face does"));
  }

  Config config_;
  Head head_;
  Checkpoint checkpoint_;
  bool in_files_ = false;  // whether values are read from the checkpoint's files themselves
  std::vector<std::unique_ptr<float[]>> owned_;
};

}  // namespace

std::vector<Parameter> Weights::describe(const Config& config, Head head) {
  return Table(config, head).parameters;
}

std::unique_ptr<Weights> Weights::load(const Config& config, Head head, const std::string& path,
                                       std::vector<std::string>* warnings, const FreshParameters& fresh) {
  auto weights = std::make_unique<StoredWeights>(config, head);
  std::vector<std::string> unread;
  weights->load(path, warnings ? warnings : &unread, fresh);
  return weights;
}

std::unique_ptr<Weights> Weights::create(const Config& config, Head head, uint64_t seed) {
  auto weights = std::make_unique<StoredWeights>(config, head);
  weights->create(seed);
  return weights;
}

std::unique_ptr<Weights> Weights::copy(const Config& config, Head head,
                                       const std::vector<Parameter>& values) {
  auto weights = std::make_unique<StoredWeights>(config, head);
  weights->copy(values);
  return weights;
}

const Parameter* Weights::find(std::string_view name) const {
  auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &parameters_[found->second];
}

const float* Weights::data(std::string_view name) const {
  const Parameter* parameter = find(name);
  if (!parameter) throw std::logic_error(str("the parameter table has no '", name, "'"));
  return parameter->data;
}

Parameter Weights::lookup(std::string_view name) const {
  if (const Parameter* parameter = find(without_prefix(name))) return *parameter;
  check(name == kDecoder && find("predictions.bias"), ErrorCode::kInvalidArgument,
        "expected the name of a parameter of this model, as parameters() lists them, but received '", name,
        "'");
  return {kDecoder, find(kWordTable)->shape, decoder_};
}

void Weights::save(const std::string& path, DType dtype) const {
  std::vector<StoredTensor> tensors;
  std::vector<std::vector<uint16_t>> halves;
  const auto add = [&](const std::string& name, const std::vector<int64_t>& shape, const float* data) {
    const size_t count = static_cast<size_t>(element_count(shape));
    if (dtype == DType::kF32) {
      tensors.push_back({name, dtype, shape, reinterpret_cast<const uint8_t*>(data), count * sizeof(float)});
      return;
    }
    std::vector<uint16_t>& half = halves.emplace_back(count);
    std::transform(data, data + half.size(), half.begin(), f32_to_f16);
    const auto is_infinite = [](uint16_t value) { return (value & 0x7fff) == 0x7c00; };
    check(std::none_of(half.begin(), half.end(), is_infinite), ErrorCode::kCheckpoint, "parameter '", name,
          "' has values that half precision cannot hold (beyond 65504); save it in fp32");
    tensors.push_back(
        {name, DType::kF16, shape, reinterpret_cast<const uint8_t*>(half.data()), count * sizeof(uint16_t)});
  };
  for (const Parameter& parameter : parameters_) add(parameter.name, parameter.shape, parameter.data);
  for (const SharedName& shared : shared_names_) {
    const Parameter& parameter = *find(without_prefix(shared.of));
    add(shared.name, parameter.shape, parameter.data);
  }
  const Parameter* table = find(kWordTable);
  if (find("predictions.bias") && !has_tied_decoder()) add(kDecoder, table->shape, decoder_);
  write_safetensors(path, tensors);
}

}  // namespace albert
