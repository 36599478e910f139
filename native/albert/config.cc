// Reads config.json: which fields count, what they may hold, and what a missing one means.
#include "config.h"

#include <array>
#include <cmath>
#include <vector>

namespace albert {
namespace {

// Upper bounds far above any published model; they keep every product of dimensions inside 64 bits.
constexpr int32_t kMaxVocabulary = 1 << 24;
constexpr int32_t kMaxWidth = 1 << 16;
constexpr int32_t kMaxInner = 1 << 20;
constexpr int32_t kMaxPositions = 1 << 20;
constexpr int32_t kMaxLayers = 1 << 10;
constexpr int32_t kMaxBlocks = 1 << 12;
constexpr int32_t kMaxLabels = 1 << 20;
constexpr int32_t kMaxId = 0x7fffffff;

struct NamedHead {
  Head head;
  const char* name;
  const char* architecture;
};

// Hugging Face has no class of ALBERT with a beam over answers: that name is ours, in the style of XLNet's.
constexpr std::array<NamedHead, 8> kHeads = {{
    {Head::kBase, "base", "AlbertModel"},
    {Head::kPretraining, "pretraining", "AlbertForPreTraining"},
    {Head::kMaskedLm, "masked-lm", "AlbertForMaskedLM"},
    {Head::kSequenceClassification, "sequence-classification", "AlbertForSequenceClassification"},
    {Head::kTokenClassification, "token-classification", "AlbertForTokenClassification"},
    {Head::kQuestionAnswering, "question-answering", "AlbertForQuestionAnswering"},
    {Head::kQuestionAnsweringBeam, "question-answering-beam", "AlbertForQuestionAnsweringBeam"},
    {Head::kMultipleChoice, "multiple-choice", "AlbertForMultipleChoice"},
}};

struct NamedActivation {
  const char* name;
  Activation activation;
};

constexpr std::array<NamedActivation, 13> kActivations = {{
    {"gelu", Activation::kGelu},
    {"gelu_python", Activation::kGelu},
    {"gelu_new", Activation::kGeluNew},
    {"gelu_pytorch_tanh", Activation::kGeluNew},
    {"gelu_python_tanh", Activation::kGeluNew},
    {"gelu_fast", Activation::kGeluNew},
    {"gelu_accurate", Activation::kGeluNew},
    {"relu", Activation::kRelu},
    {"silu", Activation::kSilu},
    {"swish", Activation::kSilu},
    {"tanh", Activation::kTanh},
    {"linear", Activation::kIdentity},
    {"identity", Activation::kIdentity},
}};

class ConfigReader {
 public:
  ConfigReader(const Json& json, const std::string& name) : json_(json), name_(name) {}

  template <typename... Args>
  [[noreturn]] void fail(const Args&... args) const {
    throw Error(ErrorCode::kInvalidConfig, str(name_, ": ", args...));
  }

  // The member, or null when it is absent or JSON null: Hugging Face writes null for "use the default".
  const Json* field(const char* key) const {
    const Json* value = json_.find(key);
    return value && !value->is_null() ? value : nullptr;
  }

  void integer(const char* key, int32_t low, int32_t high, int32_t* out) const {
    const Json* value = field(key);
    if (!value) return;
    double number = value->number();
    if (!value->is_number() || number != std::floor(number) || number < low || number > high)
      fail(key, " must be an integer from ", low, " to ", high, ", found ", value->describe());
    *out = static_cast<int32_t>(number);
  }

  // The four dimensions whose defaults in Hugging Face describe xxlarge, which nobody means by leaving them
  // out.
  void required(const char* key, int32_t high, int32_t* out) const {
    if (!field(key))
      fail(key,
           " is missing; its default would silently describe ALBERT-xxlarge, so write it into the file "
           "(ALBERT-base has hidden_size 768, num_hidden_layers 12, num_attention_heads 12, "
           "intermediate_size 3072)");
    integer(key, 1, high, out);
  }

  void real(const char* key, const char* range, bool (*valid)(double), float* out) const {
    const Json* value = field(key);
    if (!value) return;
    float number = static_cast<float>(value->number());
    if (!value->is_number() || !std::isfinite(number) || !valid(number))
      fail(key, " must be a number ", range, ", found ", value->describe());
    *out = number;
  }

  const std::string* text(const char* key) const {
    const Json* value = field(key);
    if (!value) return nullptr;
    if (!value->is_string()) fail(key, " must be a string, found ", value->describe());
    return &value->string();
  }

  // Files of 2019 have no model_type: there the class names, or else the fields only ALBERT has, must speak.
  void check_model_type() const {
    if (const std::string* type = text("model_type")) {
      if (*type != "albert")
        fail("model_type is '", *type,
             "', but only 'albert' models can be loaded; choose an ALBERT checkpoint");
      return;
    }
    bool named = false;
    for (const std::string& architecture : architectures()) {
      if (architecture.rfind("Albert", 0) == 0) return;
      named = true;
    }
    if (named)
      fail("architectures names '", architectures().front(),
           "' and there is no model_type; only ALBERT models can be loaded");
    if (!field("embedding_size") && !field("num_hidden_groups") && !field("inner_group_num"))
      fail(
          "neither model_type, architectures nor embedding_size says that this is an ALBERT model; add "
          "\"model_type\": \"albert\" if it is");
  }

  std::vector<std::string> architectures() const {
    std::vector<std::string> names;
    const Json* value = field("architectures");
    if (!value) return names;
    if (!value->is_array()) fail("architectures must be an array of class names, found ", value->describe());
    for (const Json& item : value->array()) {
      if (!item.is_string()) fail("architectures must hold class names, found ", item.describe());
      names.push_back(item.string());
    }
    return names;
  }

  Head head() const {
    for (const std::string& architecture : architectures())
      for (const NamedHead& known : kHeads)
        if (architecture == known.architecture) return known.head;
    return Head::kBase;
  }

  Activation activation(Activation absent) const {
    const std::string* given = text("hidden_act");
    if (!given) return absent;
    std::string lower = *given;
    for (char& c : lower)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    std::string names;
    for (const NamedActivation& known : kActivations) {
      if (lower == known.name) return known.activation;
      names += str(names.empty() ? "" : ", ", known.name);
    }
    fail("hidden_act '", *given, "' is not known; expected one of ", names);
  }

  // The map of label names decides when there is one; Hugging Face leaves it out when it holds the default
  // two.
  void labels(int32_t* count) const {
    integer("_num_labels", 1, kMaxLabels, count);
    integer("num_labels", 1, kMaxLabels, count);
    const Json* map = field("id2label");
    if (!map) return;
    if (!map->is_object()) fail("id2label must map numbers to label names, found ", map->describe());
    if (map->object().size() > static_cast<size_t>(kMaxLabels))
      fail("id2label has more than ", kMaxLabels, " labels");
    for (const auto& entry : map->object()) {
      bool number = !entry.first.empty() && entry.first.find_first_not_of("0123456789") == std::string::npos;
      if (!number) fail("id2label must have numbers as keys, found \"", entry.first.substr(0, 60), "\"");
      if (!entry.second.is_string())
        fail("id2label[\"", entry.first, "\"] must be a label name, found ", entry.second.describe());
    }
    if (!map->object().empty()) *count = static_cast<int32_t>(map->object().size());
  }

  ProblemType problem_type() const {
    const std::string* given = text("problem_type");
    if (!given) return ProblemType::kUnnamed;
    if (*given == "regression") return ProblemType::kRegression;
    if (*given == "single_label_classification") return ProblemType::kSingleLabel;
    if (*given == "multi_label_classification") return ProblemType::kMultiLabel;
    fail("problem_type '", *given,
         "' is not known; expected one of regression, single_label_classification, "
         "multi_label_classification");
  }

  // 'all' and 'none' are other words for 1 and L groups. In files that share one half of the block the groups
  // are L too: Hugging Face's layout then has room for every layer's other half.
  void sharing(Config* config) const {
    integer("num_hidden_groups", 1, kMaxLayers, &config->num_hidden_groups);
    const std::string* name = text("parameter_sharing");
    if (!name) return;
    const bool known = *name == "all" || *name == "attention" || *name == "feed_forward" || *name == "none";
    if (!known)
      fail("parameter_sharing '", name->substr(0, 60),
           "' is not known; expected one of all, attention, feed_forward, none");
    const int32_t groups = *name == "all" ? 1 : config->num_hidden_layers;
    if (field("num_hidden_groups") && config->num_hidden_groups != groups)
      fail("parameter_sharing '", *name, "' of ", config->num_hidden_layers,
           " layers means num_hidden_groups ", groups, ", found ", config->num_hidden_groups,
           "; leave one of the two out");
    config->num_hidden_groups = groups;
    if (*name == "attention") config->parameter_sharing = ParameterSharing::kAttention;
    if (*name == "feed_forward") config->parameter_sharing = ParameterSharing::kFeedForward;
  }

  void refuse_variants() const {
    const std::string* positions = text("position_embedding_type");
    if (positions && *positions != "absolute")
      fail("position_embedding_type '", *positions, "' is not supported; expected 'absolute'");
    const Json* pruned = field("pruned_heads");
    if (pruned && !pruned->object().empty())
      fail(
          "pruned_heads is not empty, and models with pruned attention heads are not supported; use the "
          "unpruned one");
  }

 private:
  const Json& json_;
  const std::string& name_;
};

}  // namespace

Config Config::parse(std::string_view json, const std::string& name) {
  Json document = Json::parse(json, {ErrorCode::kInvalidConfig, name});
  ConfigReader reader(document, name);
  if (!document.is_object())
    reader.fail("expected a JSON object with the model's fields, found ", document.describe());
  reader.check_model_type();
  reader.refuse_variants();

  Config config;
  config.head = reader.head();
  config.hidden_act = reader.activation(config.hidden_act);
  reader.required("hidden_size", kMaxWidth, &config.hidden_size);
  reader.required("num_hidden_layers", kMaxLayers, &config.num_hidden_layers);
  reader.required("num_attention_heads", kMaxWidth, &config.num_attention_heads);
  reader.required("intermediate_size", kMaxInner, &config.intermediate_size);
  reader.integer("vocab_size", 1, kMaxVocabulary, &config.vocab_size);
  reader.integer("embedding_size", 1, kMaxWidth, &config.embedding_size);
  reader.sharing(&config);
  reader.integer("inner_group_num", 1, kMaxLayers, &config.inner_group_num);
  reader.integer("max_position_embeddings", 1, kMaxPositions, &config.max_position_embeddings);
  reader.integer("type_vocab_size", 1, kMaxWidth, &config.type_vocab_size);
  reader.labels(&config.num_labels);
  config.problem_type = reader.problem_type();
  reader.integer("pad_token_id", 0, config.vocab_size - 1, &config.pad_token_id);
  reader.integer("bos_token_id", 0, kMaxId, &config.bos_token_id);
  reader.integer("eos_token_id", 0, kMaxId, &config.eos_token_id);

  auto fraction = [](double p) { return p >= 0 && p < 1; };
  auto positive = [](double x) { return x > 0; };
  reader.real("hidden_dropout_prob", "from 0 to below 1", fraction, &config.hidden_dropout_prob);
  reader.real("attention_probs_dropout_prob", "from 0 to below 1", fraction,
              &config.attention_probs_dropout_prob);
  // An explicit null means the hidden dropout (the token head of Hugging Face), unlike an absent field.
  const Json* classifier = document.find("classifier_dropout_prob");
  if (classifier && classifier->is_null()) config.classifier_dropout_prob = config.hidden_dropout_prob;
  reader.real("classifier_dropout_prob", "from 0 to below 1", fraction, &config.classifier_dropout_prob);
  reader.real("initializer_range", "above 0", positive, &config.initializer_range);
  reader.real("layer_norm_eps", "above 0", positive, &config.layer_norm_eps);

  if (config.hidden_size % config.num_attention_heads)
    reader.fail("hidden_size ", config.hidden_size, " must be a multiple of num_attention_heads ",
                config.num_attention_heads);
  if (config.num_hidden_groups * config.inner_group_num > kMaxBlocks)
    reader.fail("num_hidden_groups * inner_group_num must be at most ", kMaxBlocks, ", found ",
                config.num_hidden_groups, " * ", config.inner_group_num);
  if (config.num_hidden_layers * config.inner_group_num > kMaxBlocks)
    reader.fail("num_hidden_layers * inner_group_num must be at most ", kMaxBlocks, ", found ",
                config.num_hidden_layers * config.inner_group_num);
  return config;
}

bool is_pooled(Head head) {
  return head == Head::kBase || head == Head::kPretraining || head == Head::kSequenceClassification ||
         head == Head::kMultipleChoice;
}

bool needs_first_row(Head head) { return is_pooled(head) || head == Head::kQuestionAnsweringBeam; }

bool is_language(Head head) { return head == Head::kPretraining || head == Head::kMaskedLm; }

const char* to_string(Head head) {
  for (const NamedHead& known : kHeads)
    if (known.head == head) return known.name;
  return "base";
}

Head head_from_string(std::string_view name) {
  std::string names;
  for (const NamedHead& known : kHeads) {
    if (name == known.name) return known.head;
    names += str(names.empty() ? "" : ", ", known.name);
  }
  throw Error(ErrorCode::kInvalidArgument,
              str("head '", name.substr(0, 60), "' is not known; expected one of ", names));
}

}  // namespace albert
