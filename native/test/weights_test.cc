// The parameter table: exact counts, loading under every naming and type, fresh weights, and saving.
#include "albert/weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <thread>

#include "albert/checkpoint.h"
#include "albert/model.h"
#include "support/safetensors.h"
#include "test.h"

namespace albert {
namespace {

namespace fs = std::filesystem;

constexpr Head kAllHeads[] = {Head::kBase,
                              Head::kPretraining,
                              Head::kMaskedLm,
                              Head::kSequenceClassification,
                              Head::kTokenClassification,
                              Head::kQuestionAnswering,
                              Head::kQuestionAnsweringBeam,
                              Head::kMultipleChoice};

Config config_of(int32_t hidden, int32_t layers, int32_t heads, int32_t vocabulary = 30000) {
  Config config;
  config.vocab_size = vocabulary;
  config.hidden_size = hidden;
  config.num_hidden_layers = layers;
  config.num_attention_heads = heads;
  config.intermediate_size = 4 * hidden;
  return config;
}

Config tiny() {
  Config config = config_of(6, 2, 2, 11);
  config.embedding_size = 4;
  config.max_position_embeddings = 5;
  return config;
}

int64_t total(const Config& config, Head head) {
  int64_t count = 0;
  for (const Parameter& parameter : Weights::describe(config, head)) count += parameter.count();
  return count;
}

Config golden_config(const std::string& name) {
  std::ifstream file(test::golden_folder() + "/model/" + name + "/config.json");
  if (!file) throw test::Skip{"no golden models in " + test::golden_folder()};
  return Config::parse(std::string((std::istreambuf_iterator<char>(file)), {}), name);
}

// A folder of this test's own that disappears with it.
struct Folder {
  fs::path path = test::temporary("weights");
  Folder() {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~Folder() { fs::remove_all(path); }
  std::string file(const char* name) const { return (path / name).string(); }
};

void refuse(const std::function<void()>& body, ErrorCode code, const std::vector<std::string>& parts) {
  const std::string message = test::refusal(body, code);
  for (const std::string& part : parts)
    EXPECT(message.find(part) != std::string::npos, "'", part, "' in: ", message);
}

// What a checkpoint of `weights` would store, for the tests to spoil before they write it.
std::vector<StoredTensor> stored(const Weights& weights) {
  std::vector<StoredTensor> tensors;
  for (const Parameter& p : weights.all())
    tensors.push_back({p.name, DType::kF32, p.shape, reinterpret_cast<const uint8_t*>(p.data),
                       static_cast<size_t>(p.count()) * sizeof(float)});
  return tensors;
}

StoredTensor* named(std::vector<StoredTensor>* tensors, const std::string& name) {
  for (StoredTensor& tensor : *tensors)
    if (tensor.name == name) return &tensor;
  EXPECT(false, "a tensor ", name);
  return nullptr;
}

void expect_same(const Weights& a, const Weights& b) {
  EXPECT(a.all().size() == b.all().size(), b.all().size());
  for (size_t i = 0; i < a.all().size(); ++i) {
    const Parameter &p = a.all()[i], &q = b.all()[i];
    EXPECT(p.name == q.name && p.shape == q.shape, p.name, " ", q.name);
    EXPECT(std::memcmp(p.data, q.data, static_cast<size_t>(p.count()) * sizeof(float)) == 0, p.name);
  }
}

}  // namespace

TEST(weights_have_the_published_counts) {
  struct Size {
    int32_t hidden, layers, heads;
    int64_t base, masked, pretraining, base_zh, pretraining_zh;
  };
  const Size sizes[] = {
      {768, 12, 12, 11683584, 11812272, 11813810, 10547968, 10669322},
      {1024, 24, 16, 17683968, 17845424, 17847474, 16548352, 16702986},
      {2048, 24, 16, 58724864, 59017392, 59021490, 57589248, 57877002},
      {4096, 12, 64, 222595584, 223150256, 223158450, 221459968, 222013962},
  };
  for (const Size& s : sizes) {
    Config config = config_of(s.hidden, s.layers, s.heads);
    EXPECT(total(config, Head::kBase) == s.base, total(config, Head::kBase));
    EXPECT(total(config, Head::kPretraining) == s.pretraining, total(config, Head::kPretraining));
    int64_t pooler = int64_t{s.hidden} * s.hidden + s.hidden;
    EXPECT(total(config, Head::kMaskedLm) == s.masked - pooler, total(config, Head::kMaskedLm));
    EXPECT(total(config, Head::kTokenClassification) == s.base - pooler + 2 * s.hidden + 2, s.hidden);
    EXPECT(total(config, Head::kQuestionAnswering) == s.base - pooler + 2 * s.hidden + 2, s.hidden);
    // Two layers 2H -> H, a norm over H, and three 1-wide layers, the last without a bias.
    EXPECT(total(config, Head::kQuestionAnsweringBeam) ==
               s.base - pooler + 4 * int64_t{s.hidden} * s.hidden + 7 * s.hidden + 2,
           s.hidden);
    EXPECT(total(config, Head::kMultipleChoice) == s.base + s.hidden + 1, s.hidden);
    config.vocab_size = 21128;
    EXPECT(total(config, Head::kBase) == s.base_zh, total(config, Head::kBase));
    EXPECT(total(config, Head::kPretraining) == s.pretraining_zh, total(config, Head::kPretraining));
  }
  Config unshared = config_of(768, 12, 12);
  unshared.num_hidden_groups = 12;
  EXPECT(total(unshared, Head::kBase) == 89650176, total(unshared, Head::kBase));
}

// The ablation of Lan et al. 2019 (table 4) and the same for the other sizes, with the exact counts behind
// its rounded ones. The paper's model has no map where E equals H; Hugging Face's layout always has one.
TEST(weights_have_the_counts_of_every_sharing) {
  struct Size {
    int32_t embedding, hidden, layers;
    int64_t all, attention, feed_forward, none;
  };
  const Size sizes[] = {
      {128, 768, 12, 11683584, 63647232, 37686528, 89650176},
      {768, 768, 12, 31114752, 83078400, 57117696, 109081344},
      {128, 1024, 24, 17683968, 210786816, 114294272, 307397120},
      {128, 2048, 24, 58724864, 830806528, 444883456, 1216965120},
      {128, 4096, 12, 222595584, 1699305984, 961063424, 2437773824},
  };
  for (const Size& s : sizes) {
    Config config = config_of(s.hidden, s.layers, s.hidden / 64);
    config.embedding_size = s.embedding;
    const int64_t map = s.embedding == s.hidden ? int64_t{s.hidden} * s.hidden + s.hidden : 0;
    EXPECT(total(config, Head::kBase) - map == s.all, total(config, Head::kBase));
    config.num_hidden_groups = s.layers;
    EXPECT(total(config, Head::kBase) - map == s.none, total(config, Head::kBase));
    config.parameter_sharing = ParameterSharing::kAttention;
    EXPECT(total(config, Head::kBase) - map == s.attention, total(config, Head::kBase));
    config.parameter_sharing = ParameterSharing::kFeedForward;
    EXPECT(total(config, Head::kBase) - map == s.feed_forward, total(config, Head::kBase));
  }
}

TEST(weights_share_half_a_block) {
  Folder folder;
  for (ParameterSharing sharing : {ParameterSharing::kAttention, ParameterSharing::kFeedForward}) {
    Config config = tiny();
    config.num_hidden_layers = config.num_hidden_groups = 3;
    config.inner_group_num = 2;
    config.parameter_sharing = sharing;
    const bool attention = sharing == ParameterSharing::kAttention;
    const auto weights = Weights::create(config, Head::kPretraining, 6);
    std::vector<std::string> names;
    for (const Parameter& parameter : weights->all()) names.push_back(parameter.name);
    for (const char* layer : {"attention.query.weight", "attention.LayerNorm.bias", "ffn.weight",
                              "full_layer_layer_norm.weight"}) {
      const bool shared = attention == (std::string(layer).find("attention") == 0);
      for (const char* inner : {"0", "1"}) {
        const auto name = [&](int group) {
          return str("encoder.albert_layer_groups.", group, ".albert_layers.", inner, ".", layer);
        };
        for (int group : {1, 2}) {
          EXPECT((weights->find(name(group)) == weights->find(name(0))) == shared, name(group));
          EXPECT((weights->lookup("albert." + name(group)).data == weights->data(name(0))) == shared, "");
          const auto listed = std::count(names.begin(), names.end(), "albert." + name(group));
          EXPECT(listed == (shared ? 0 : 1), name(group));
        }
      }
    }

    // The file is that of a model which shares nothing, and says the same without its copies.
    weights->save(folder.file("model.safetensors"));
    std::vector<std::string> warnings;
    expect_same(*weights, *Weights::load(config, Head::kPretraining, folder.path.string(), &warnings));
    Config whole = config;
    whole.parameter_sharing = ParameterSharing::kGroups;
    const auto unshared = Weights::load(whole, Head::kPretraining, folder.path.string(), &warnings);
    EXPECT(warnings.empty() && unshared->all().size() > weights->all().size(), "");
    for (const Parameter& parameter : unshared->all()) {
      const Parameter own = weights->lookup(parameter.name);
      EXPECT(!std::memcmp(own.data, parameter.data, static_cast<size_t>(own.count()) * 4), parameter.name);
    }
    write_safetensors(folder.file("model.safetensors"), stored(*weights));
    expect_same(*weights, *Weights::load(config, Head::kPretraining, folder.path.string(), nullptr));

    std::vector<StoredTensor> tensors = stored(*unshared);
    const std::string first = str("albert.encoder.albert_layer_groups.0.albert_layers.1.",
                                  attention ? "attention.key.weight" : "ffn.bias");
    std::string copy = first;
    copy.replace(copy.find("groups.0"), 8, "groups.2");
    StoredTensor* spoiled = named(&tensors, copy);
    std::vector<float> values(spoiled->bytes / sizeof(float), 0.5f);
    spoiled->data = reinterpret_cast<const uint8_t*>(values.data());
    write_safetensors(folder.file("model.safetensors"), tensors);
    refuse([&] { Weights::load(config, Head::kPretraining, folder.path.string(), nullptr); },
           ErrorCode::kCheckpoint, {first, copy, "differ", "parameter_sharing"});
  }
}

TEST(weights_describe_is_what_golden_files_hold) {
  for (const char* name :
       {"base", "base-groups", "base-relu-odd", "pretraining", "pretraining-groups",
        "sequence-classification", "token-classification", "question-answering", "multiple-choice"}) {
    Config config = golden_config(name);
    TensorFile file = TensorFile::open(test::golden_folder() + "/model/" + name + "/model.safetensors");
    std::vector<Parameter> described = Weights::describe(config, config.head);
    EXPECT(described.size() == file.tensors.size(), name, " ", described.size(), " ", file.tensors.size());
    for (const Parameter& parameter : described) {
      const StoredTensor* tensor = file.find(parameter.name);
      EXPECT(tensor && tensor->shape == parameter.shape, name, " ", parameter.name);
    }
    std::vector<std::string> warnings;
    auto weights = Weights::load(config, config.head, test::golden_folder() + "/model/" + name, &warnings);
    EXPECT(warnings.empty(), name, ": ", warnings[0]);
    for (const Parameter& parameter : weights->all()) {
      const StoredTensor* tensor = file.find(parameter.name);
      EXPECT(std::memcmp(parameter.data, tensor->data, tensor->bytes) == 0, name, " ", parameter.name);
    }
    weights->release_pages();
    EXPECT(std::memcmp(weights->all()[0].data, file.find(weights->all()[0].name)->data, 4) == 0,
           "read again");
  }
}

// Values that stay in a mapped file: writing into it must not mix new values with the packed ones.
TEST(weights_refuse_a_file_that_was_written_into) {
  Folder folder;
  const std::string json =
      R"({"vocab_size": 11, "embedding_size": 4, "hidden_size": 6, "num_hidden_layers": 2,
          "num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 5})";
  const std::string path = folder.file("model.safetensors"), other = folder.file("other.safetensors");
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    ModelOptions options;
    options.head = Head::kBase;
    Model::create(json, 1, options)->weights()->save(path, dtype);
    Model::create(json, 2, options)->weights()->save(other, dtype);
    const std::shared_ptr<Model> model = Model::load(json, "config", path, options);
    ForwardRequest request;
    request.batch.ids = {1, 2, 3};
    request.batch.lengths = {3};
    request.wanted.last_hidden_state = true;
    const auto run = [&] { return std::move(model->forward({&request})[0]); };
    const auto same = [](const ForwardResult& a, const ForwardResult& b) {
      return std::equal(a[0].data.get(), a[0].data.get() + a[0].count(), b[0].data.get());
    };
    const ForwardResult before = run();
    // A new file in the old one's place.
    fs::copy_file(other, folder.file("new"), fs::copy_options::overwrite_existing);
    fs::rename(folder.file("new"), path);
    EXPECT(same(before, run()), "after its file was replaced");
    if (dtype == DType::kF16) continue;

    const std::shared_ptr<Model> mapped = Model::load(json, "config", path, options);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // a file's time has a coarse clock
    std::fstream(path, std::ios::in | std::ios::out | std::ios::binary)
        .seekp(-4, std::ios::end)
        .write("abcd", 4);
    refuse([&] { mapped->forward({&request}); }, ErrorCode::kCheckpoint, {path, "time of writing", "load"});
    refuse([&] { mapped->weights(); }, ErrorCode::kCheckpoint, {path});
    EXPECT(same(before, run()), "the model of the file before");
  }
  // Values that were converted on loading need the file no more.
  ModelOptions options;
  options.head = Head::kBase;
  const std::shared_ptr<Model> converted = Model::load(json, "config", path, options);
  std::ofstream(path) << "gone";
  converted->weights();
}

TEST(weights_accept_the_duplicates_of_old_masked_lm_files) {
  Config config = golden_config("masked-lm");
  std::vector<std::string> warnings;
  auto weights =
      Weights::load(config, Head::kMaskedLm, test::golden_folder() + "/model/masked-lm", &warnings);
  EXPECT(warnings.empty(), warnings[0]);
  EXPECT(weights->decoder() == weights->data("embeddings.word_embeddings.weight"), "a tied decoder");
  EXPECT(!weights->find("pooler.weight") && weights->find("predictions.bias"), "");
}

TEST(weights_load_across_heads) {
  Folder folder;
  Config config = tiny();
  std::string path = folder.file("model.safetensors");
  for (Head from : kAllHeads) {
    auto source = Weights::create(config, from, 7);
    source->save(path);
    for (Head to : kAllHeads) {
      // Classification and multiple choice share the name of their head but not its shape.
      if ((from == Head::kMultipleChoice) != (to == Head::kMultipleChoice) &&
          source->find("classifier.weight")) {
        std::vector<Parameter> wanted = Weights::describe(config, to);
        if (wanted.back().name == "classifier.bias") {
          refuse([&] { Weights::load(config, to, path, nullptr); }, ErrorCode::kCheckpoint,
                 {"classifier.weight"});
          continue;
        }
      }
      std::vector<std::string> warnings;
      auto loaded = Weights::load(config, to, folder.path.string(), &warnings);
      std::vector<std::string> fresh;
      for (const Parameter& parameter : loaded->all()) {
        const Parameter* origin = source->find(canonical_name(parameter.name));
        if (!origin)
          fresh.push_back(parameter.name);
        else
          EXPECT(std::memcmp(origin->data, parameter.data, static_cast<size_t>(origin->count()) * 4) == 0,
                 parameter.name);
      }
      EXPECT(warnings.size() == (fresh.empty() ? 0 : 1), to_string(from), " ", to_string(to), " ",
             fresh.size());
      for (const std::string& name : fresh) EXPECT(warnings[0].find(name) != std::string::npos, warnings[0]);
    }
  }
}

TEST(weights_save_and_load_bit_for_bit) {
  Folder folder;
  Config config = tiny();
  config.num_hidden_groups = 2;
  for (Head head : kAllHeads) {
    auto weights = Weights::create(config, head, 3);
    weights->save(folder.file("w.safetensors"));
    std::vector<std::string> warnings;
    auto again = Weights::load(config, head, folder.file("w.safetensors"), &warnings);
    EXPECT(warnings.empty(), warnings[0]);
    expect_same(*weights, *again);
    again->save(folder.file("w.safetensors"));  // over the file it is mapped from
    expect_same(*weights, *Weights::load(config, head, folder.file("w.safetensors"), nullptr));
  }
}

TEST(weights_that_half_precision_cannot_hold_are_not_saved_in_it) {
  Folder folder;
  auto weights = Weights::create(tiny(), Head::kBase, 1);
  std::vector<Parameter> parameters = weights->all();
  std::vector<float> large(static_cast<size_t>(parameters[0].count()), 0.5f);
  large[1] = -70000;
  parameters[0].data = large.data();
  weights = Weights::copy(tiny(), Head::kBase, parameters);
  weights->save(folder.file("fp32.safetensors"));
  refuse([&] { weights->save(folder.file("fp16.safetensors"), DType::kF16); }, ErrorCode::kCheckpoint,
         {parameters[0].name, "65504"});
}

TEST(weights_are_copied_from_the_same_model_alone) {
  auto weights = Weights::create(tiny(), Head::kBase, 1);
  expect_same(*weights, *Weights::copy(tiny(), Head::kBase, weights->all()));
  Config wider = tiny();
  wider.vocab_size += 1;
  for (const auto& copy :
       std::vector<std::function<void()>>{[&] { Weights::copy(wider, Head::kBase, weights->all()); },
                                          [&] { Weights::copy(tiny(), Head::kMaskedLm, weights->all()); },
                                          [&] { Weights::copy(tiny(), Head::kBase, {weights->all()[0]}); }})
    refuse(copy, ErrorCode::kInvalidArgument, {"another configuration or head"});
}

TEST(weights_save_reports_failure_and_leaves_nothing) {
  Folder folder;
  auto weights = Weights::create(tiny(), Head::kBase, 1);
  std::string nowhere = folder.file("absent/model.safetensors");
  refuse([&] { weights->save(nowhere); }, ErrorCode::kCheckpoint,
         {nowhere, "cannot be written", "No such file"});
  fs::create_directories(folder.path / "taken" / "full");
  refuse([&] { weights->save(folder.file("taken")); }, ErrorCode::kCheckpoint, {"cannot be written"});
  size_t entries = 0;
  for (const auto& entry : fs::directory_iterator(folder.path)) entries += !entry.path().empty();
  EXPECT(entries == 1, "only the folder 'taken', no temporary file; found ", entries);
}

TEST(weights_create_is_truncated_normal_and_seeded) {
  Config config = config_of(64, 2, 4, 1000);
  config.initializer_range = 0.02f;
  auto weights = Weights::create(config, Head::kPretraining, 42);
  expect_same(*weights, *Weights::create(config, Head::kPretraining, 42));
  auto base = Weights::create(config, Head::kBase, 42);
  for (const Parameter& parameter : weights->all()) {
    double sum = 0, squares = 0, largest = 0;
    for (int64_t i = 0; i < parameter.count(); ++i) {
      sum += parameter.data[i];
      squares += double{parameter.data[i]} * parameter.data[i];
      largest = std::max(largest, std::abs(double{parameter.data[i]}));
    }
    double count = static_cast<double>(parameter.count());
    if (parameter.shape.size() == 2) {
      EXPECT(largest <= 0.04 + 1e-8, parameter.name, largest);
      // 0.8796 is the deviation of a standard normal cut at two deviations.
      if (count > 10000) EXPECT(std::abs(std::sqrt(squares / count) / 0.02 - 0.8796) < 0.02, parameter.name);
      EXPECT(std::abs(sum / count) < 0.02 * 5 / std::sqrt(count), parameter.name, sum / count);
    } else {
      bool scale = parameter.name.find("orm.weight") != std::string::npos;
      EXPECT(sum == (scale ? count : 0) && largest == (scale ? 1 : 0), parameter.name);
    }
    const Parameter* same = base->find(canonical_name(parameter.name));
    if (same)
      EXPECT(std::memcmp(same->data, parameter.data, static_cast<size_t>(same->count()) * 4) == 0, "");
  }
  auto other = Weights::create(config, Head::kBase, 43);
  EXPECT(other->all()[0].data[0] != base->all()[0].data[0], "another seed");
  EXPECT(base->data("encoder.albert_layer_groups.0.albert_layers.0.attention.query.weight")[0] !=
             base->data("encoder.albert_layer_groups.0.albert_layers.0.attention.key.weight")[0],
         "another stream");
}

TEST(weights_keep_an_untied_decoder) {
  Folder folder;
  Config config = tiny();
  auto weights = Weights::create(config, Head::kMaskedLm, 5);
  std::vector<StoredTensor> tensors = stored(*weights);
  std::vector<float> decoder(44, 0.5f), bias(11, 0.25f);
  tensors.push_back(
      {"predictions.decoder.weight", DType::kF32, {11, 4}, reinterpret_cast<uint8_t*>(decoder.data()), 176});
  tensors.push_back(
      {"predictions.decoder.bias", DType::kF32, {11}, reinterpret_cast<uint8_t*>(bias.data()), 44});
  write_safetensors(folder.file("model.safetensors"), tensors);
  std::vector<std::string> warnings;
  auto loaded = Weights::load(config, Head::kMaskedLm, folder.path.string(), &warnings);
  EXPECT(warnings.size() == 2 && loaded->decoder()[3] == 0.5f && loaded->data("predictions.bias")[0] == 0,
         "");
  loaded->save(folder.file("again.safetensors"));
  auto again = Weights::load(config, Head::kMaskedLm, folder.file("again.safetensors"), nullptr);
  EXPECT(again->decoder() != again->data("embeddings.word_embeddings.weight") && again->decoder()[43] == 0.5f,
         "");
  // With the output bias only under the decoder's name, that one is it.
  tensors.erase(tensors.begin() + (named(&tensors, "predictions.bias") - tensors.data()));
  write_safetensors(folder.file("model.safetensors"), tensors);
  auto bias_only = Weights::load(config, Head::kMaskedLm, folder.path.string(), nullptr);
  EXPECT(bias_only->data("predictions.bias")[10] == 0.25f, "");
}

TEST(weights_widen_16_bit_and_64_bit_files) {
  Folder folder;
  Config config = tiny();
  auto weights = Weights::create(config, Head::kBase, 9);
  for (DType dtype : {DType::kBF16, DType::kF16, DType::kF64}) {
    std::vector<StoredTensor> tensors = stored(*weights);
    std::vector<std::vector<uint8_t>> bytes;
    for (StoredTensor& tensor : tensors) {
      size_t count = tensor.bytes / 4;
      bytes.emplace_back(count * size_of(dtype));
      for (size_t i = 0; i < count; ++i) {
        double value = reinterpret_cast<const float*>(tensor.data)[i];
        if (dtype == DType::kF64) std::memcpy(&bytes.back()[i * 8], &value, 8);
        uint16_t half = dtype == DType::kBF16 ? 0xbfc0 : 0xc100;  // -1.5 and -2.5
        if (dtype != DType::kF64) std::memcpy(&bytes.back()[i * 2], &half, 2);
      }
      tensor.dtype = dtype;
      tensor.data = bytes.back().data();
      tensor.bytes = bytes.back().size();
    }
    write_safetensors(folder.file("model.safetensors"), tensors);
    auto loaded = Weights::load(config, Head::kBase, folder.path.string(), nullptr);
    if (dtype == DType::kF64)
      expect_same(*weights, *loaded);
    else
      EXPECT(loaded->data("pooler.weight")[0] == (dtype == DType::kBF16 ? -1.5f : -2.5f), "");
  }
}

TEST(weights_refuse_what_does_not_fit) {
  Folder folder;
  Config config = tiny();
  auto weights = Weights::create(config, Head::kSequenceClassification, 2);
  std::string path = folder.file("model.safetensors");
  auto attempt = [&](const std::function<void(std::vector<StoredTensor>*)>& spoil,
                     const std::vector<std::string>& parts) {
    std::vector<StoredTensor> tensors = stored(*weights);
    spoil(&tensors);
    write_safetensors(path, tensors);
    refuse([&] { Weights::load(config, Head::kSequenceClassification, folder.path.string(), nullptr); },
           ErrorCode::kCheckpoint, parts);
  };
  const std::string query = "albert.encoder.albert_layer_groups.0.albert_layers.0.attention.query.weight";
  attempt([&](auto* t) { named(t, query)->name = "other"; },
          {path, "no tensor '" + query + "' (1 of the 23"});
  attempt([&](auto* t) { named(t, query)->shape = {4, 9}; }, {query, "has shape [4, 9], expected [6, 6]"});
  attempt([&](auto* t) { named(t, query)->dtype = DType::kI32; }, {query, "dtype I32", "expected F32"});
  attempt(
      [&](auto* t) {
        t->push_back(*named(t, query)), t->back().name = "module." + query, t->back().data += 4,
                                        t->back().data = named(t, "albert.pooler.weight")->data;
      },
      {query, "'module." + query + "' mean"});
  for (float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
    std::vector<float> values(36, 1.0f);
    values[17] = bad;
    attempt([&](auto* t) { named(t, query)->data = reinterpret_cast<uint8_t*>(values.data()); },
            {query, "at index 17", "finite"});
  }
  Config wider = config;
  wider.num_labels = 3;
  write_safetensors(path, stored(*weights));
  refuse([&] { Weights::load(wider, Head::kSequenceClassification, path, nullptr); }, ErrorCode::kCheckpoint,
         {"'classifier.weight' has shape [2, 6], expected [3, 6]"});
}

TEST(weights_find_files_and_shards) {
  Folder folder;
  Config config = tiny();
  auto load = [&] { return Weights::load(config, Head::kBase, folder.path.string(), nullptr); };
  refuse(load, ErrorCode::kCheckpoint,
         {folder.path.string(), "config.json", "model.safetensors", "pytorch_model.bin"});
  refuse([&] { Weights::load(config, Head::kBase, folder.file("none"), nullptr); }, ErrorCode::kCheckpoint,
         {folder.file("none"), "no such file or folder", "model.safetensors"});

  auto weights = Weights::create(config, Head::kBase, 4);
  std::vector<StoredTensor> tensors = stored(*weights);
  size_t half = tensors.size() / 2;
  write_safetensors(folder.file("model-00001-of-00002.safetensors"),
                    {tensors.begin(), tensors.begin() + half});
  write_safetensors(folder.file("model-00002-of-00002.safetensors"), {tensors.begin() + half, tensors.end()});
  auto write_index = [&](const std::string& first) {
    std::ofstream index(folder.file("model.safetensors.index.json"));
    index << "{\"metadata\": {}, \"weight_map\": {";
    for (size_t i = 0; i < tensors.size(); ++i)
      index << (i ? "," : "") << "\"" << tensors[i].name << "\": \""
            << (i < half ? first : "model-00002-of-00002.safetensors") << "\"";
    index << "}}";
  };
  write_index("model-00001-of-00002.safetensors");
  expect_same(*weights, *load());
  for (const char* bad : {"../model.safetensors", "/etc/passwd", "..", "a/b", "", ".hidden", "a\\\\b"}) {
    write_index(bad);
    refuse(load, ErrorCode::kCheckpoint, {"plain file names"});
  }
  write_index("model-00002-of-00002.safetensors");
  refuse(load, ErrorCode::kCheckpoint, {"which", "places in it"});
  write_index("absent.safetensors");
  refuse(load, ErrorCode::kCheckpoint, {"absent.safetensors"});
  std::ofstream(folder.file("model.safetensors.index.json")) << "{\"weight_map\": []}";
  refuse(load, ErrorCode::kCheckpoint, {"weight_map"});
}

}  // namespace albert
