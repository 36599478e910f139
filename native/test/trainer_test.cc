// Golden trajectories of optimisers, and the promises of a training run: bit-exact resumption and threads.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <utility>

#include "backends.h"
#include "golden.h"
#include "support/safetensors.h"
#include "test.h"
#include "train/trainer.h"

namespace albert::test {
namespace {

struct Trajectory {
  std::string name, folder;
  Config config;
  Head head;
  Json about;
  std::map<std::string, GoldenTensor> tensors;
  int64_t accumulate = 1;
};

std::vector<Trajectory> trajectories() {
  std::vector<Trajectory> all;
  for (const std::string& folder : {golden_folder() + "/train", shared_folder() + "/golden/train"}) {
    if (!all.empty() || !std::filesystem::is_directory(folder)) continue;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      const std::string path = entry.path().string();
      Trajectory one{entry.path().filename().string(),
                     path,
                     Config::parse(read_text(path + "/config.json"), "config.json"),
                     Head::kBase,
                     Json::parse(read_text(path + "/trajectory.json"), {ErrorCode::kData, "trajectory.json"}),
                     read_tensors(path + "/trajectory.safetensors"),
                     1};
      std::string head = one.about.find("head")->string();
      std::replace(head.begin(), head.end(), '_', '-');
      one.head = head_from_string(head);
      one.accumulate = static_cast<int64_t>(one.about.find("hyperparameters")->find("accumulate")->number());
      all.push_back(std::move(one));
    }
  }
  if (all.empty()) throw Skip{"no golden trajectories"};
  return all;
}

OptimizerOptions optimizer_of(const Trajectory& golden) {
  const Json& values = *golden.about.find("hyperparameters");
  const auto number = [&](const char* name) { return values.find(name)->number(); };
  OptimizerOptions options;
  options.kind = values.find("optimizer")->string() == "lamb" ? OptimizerOptions::Kind::kLamb
                                                              : OptimizerOptions::Kind::kAdamw;
  options.learning_rate = number("learning_rate");
  options.warmup_steps = static_cast<int64_t>(number("warmup_steps"));
  options.total_steps = static_cast<int64_t>(number("total_steps"));
  options.power = number("power");
  options.beta1 = number("beta1"), options.beta2 = number("beta2"), options.epsilon = number("epsilon");
  options.weight_decay = number("weight_decay");
  options.max_grad_norm = number("max_grad_norm");
  return options;
}

Trainer trainer_of(const Trajectory& golden, const TrainingOptions& options) {
  const auto weights =
      Weights::load(golden.config, golden.head, golden.folder + "/model.safetensors", nullptr);
  return Trainer(golden.config, golden.head, *weights, options, optimizer_of(golden), 1);
}

// The micro-batches of one step.
std::vector<LabelledBatch> batches_of(const Trajectory& golden, int64_t step) {
  std::vector<LabelledBatch> batches;
  for (int64_t micro = 0; micro < golden.accumulate; ++micro) {
    const std::string prefix =
        golden.accumulate > 1 ? str("step", step, ".", micro, ".") : str("step", step, ".");
    std::map<std::string, GoldenTensor> tensors;
    for (const auto& [name, tensor] : golden.tensors)
      if (name.rfind(prefix, 0) == 0) tensors[name.substr(prefix.size())] = tensor;
    batches.push_back(labelled_batch(tensors, golden.config, golden.head));
  }
  return batches;
}

std::vector<float> values_of(Trainer& trainer) {
  std::vector<float> all;
  const ParameterValues weights = trainer.model().weights().values();
  for (const Parameter& parameter : weights.parameters)
    all.insert(all.end(), parameter.data, parameter.data + parameter.count());
  return all;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

void expect_near(double value, double truth, double tolerance, const std::string& what) {
  EXPECT(std::fabs(value - truth) <= tolerance * std::max(std::fabs(truth), 1e-30), what, ": ", value,
         ", truth ", truth);
}

Config one_layer() {
  return Config::parse(
      R"({"model_type": "albert", "vocab_size": 50, "embedding_size": 8, "hidden_size": 16,
          "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
          "max_position_embeddings": 8, "hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0})",
      "config");
}

LabelledBatch four_tokens(std::vector<int32_t> labels) {
  LabelledBatch batch;
  batch.sequences.ids = {1, 2, 3, 4};
  batch.sequences.lengths = {4};
  batch.labels = std::move(labels);
  return batch;
}

}  // namespace

// Sentence order is labelled in one of two micro-batches: its mean is that one's.
TEST(micro_batches_may_lack_a_part_of_the_loss) {
  const Config config = one_layer();
  const auto weights = Weights::create(config, Head::kPretraining, 1);
  const LabelledBatch words = four_tokens({kIgnoredLabel, 2, kIgnoredLabel, kIgnoredLabel});
  LabelledBatch pairs = words;
  pairs.sop_labels = {1};
  OptimizerOptions optimizer;
  optimizer.total_steps = 10;
  const auto trainer = [&] { return Trainer(config, Head::kPretraining, *weights, {}, optimizer, 1); };
  const Losses alone = trainer().evaluate(pairs);
  for (const auto& batches : {std::vector<LabelledBatch>{words, pairs}, {pairs, words}}) {
    const Losses losses = trainer().step(batches).losses;
    EXPECT(losses.parts.size() == 2 && losses.parts[1].name == "sop_loss", losses.parts.size(), " parts");
    expect_near(losses.parts[0].mean, alone.parts[0].mean, 1e-6, "words");
    expect_near(losses.parts[1].mean, alone.parts[1].mean, 1e-6, "pairs");
    EXPECT(losses.parts[0].count == 2 && losses.parts[1].count == 1, "counts");
    expect_near(losses.total, alone.parts[0].mean + alone.parts[1].mean / 2, 1e-6, "total");
  }
}

TEST(steps_count_the_tokens_that_the_mask_leaves) {
  const Config config = one_layer();
  const auto weights = Weights::create(config, Head::kSequenceClassification, 1);
  LabelledBatch batch = four_tokens({1});
  OptimizerOptions optimizer;
  optimizer.total_steps = 10;
  Trainer trainer(config, Head::kSequenceClassification, *weights, {}, optimizer, 1);
  EXPECT(trainer.step({batch}).tokens == 4, "without a mask");
  batch.sequences.mask = {1, 255, 0, 1};
  EXPECT(trainer.step({batch}).tokens == 3, "whatever a real token is marked by");
}

TEST(memory_of_a_training_counts_the_logits) {
  const Config config = one_layer();
  const auto weights = Weights::create(config, Head::kMaskedLm, 1);
  OptimizerOptions optimizer;
  const auto memory_after = [&](const std::vector<int32_t>& labels) {
    Trainer trainer(config, Head::kMaskedLm, *weights, {}, optimizer, 1);
    trainer.evaluate(four_tokens(labels));
    return trainer.memory_bytes();
  };
  const size_t one = memory_after({kIgnoredLabel, 2, kIgnoredLabel, kIgnoredLabel}),
               four = memory_after({1, 2, 3, 4});
  EXPECT(four >= one + 3 * 50 * sizeof(float), one, " and ", four);
}

// A first step of AdamW is (1 - beta1) / sqrt(1 - beta2) of the rate, whatever the gradient. 1 - 0.999f would
// be off by 2e-5 of it.
TEST(first_steps_are_as_long_as_the_betas_say) {
  const Config config = one_layer();
  const auto weights = Weights::create(config, Head::kSequenceClassification, 1);
  OptimizerOptions optimizer;
  optimizer.kind = OptimizerOptions::Kind::kAdamw;
  optimizer.learning_rate = 1;
  optimizer.total_steps = 10;
  optimizer.epsilon = 1e-30;
  Trainer trainer(config, Head::kSequenceClassification, *weights, {}, optimizer, 1);
  trainer.step({four_tokens({1})});
  const ParameterValues values = trainer.model().weights().values();
  const auto bias =
      std::find_if(values.parameters.begin(), values.parameters.end(),
                   [](const Parameter& parameter) { return parameter.name == "classifier.bias"; });
  for (int64_t i = 0; i < bias->count(); ++i)
    expect_near(std::fabs(bias->data[i]), 0.1 / std::sqrt(0.001), 1e-6, "of the bias, which began at 0");
}

// As Hugging Face's do; the reference's pre-training and question-answering heads have none.
TEST(classifiers_of_rows_and_of_tokens_have_dropout) {
  const Config config = one_layer();
  for (const Head head : {Head::kSequenceClassification, Head::kTokenClassification, Head::kQuestionAnswering,
                          Head::kPretraining}) {
    const auto weights = Weights::create(config, head, 1);
    LabelledBatch batch = four_tokens({});
    if (head == Head::kTokenClassification || head == Head::kPretraining) batch.labels = {0, 1, 1, 0};
    if (head == Head::kSequenceClassification) batch.labels = {1};
    if (head == Head::kQuestionAnswering) batch.start_positions = batch.end_positions = {2};
    if (head == Head::kPretraining) batch.sop_labels = {1};
    OptimizerOptions optimizer;
    optimizer.total_steps = 10;
    TrainingOptions options;
    options.classifier_dropout = 0.5f;
    Trainer dropped(config, head, *weights, options, optimizer, 1);
    const double whole = dropped.evaluate(batch).total, part = dropped.step({batch}).losses.total;
    const bool expected = head == Head::kSequenceClassification || head == Head::kTokenClassification;
    EXPECT((part != whole) == expected, "head ", static_cast<int>(head), ": ", part, " of ", whole);
  }
}

TEST(a_precision_that_is_not_allowed_is_refused_with_those_that_are) {
  EXPECT(precision_of("bf16", {Precision::kFp32, Precision::kBf16}) == Precision::kBf16);
  const std::string message = refusal(
      [] {
        precision_of("int8", {Precision::kFp32, Precision::kBf16});
      },
      ErrorCode::kInvalidArgument);
  EXPECT(message == "expected dtype to be 'fp32' or 'bf16' but received 'int8'", message);
}

TEST(labels_of_another_head_are_refused) {
  const Config config = Config::parse(
      R"({"model_type": "albert", "vocab_size": 50, "embedding_size": 8, "hidden_size": 16,
          "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16})",
      "config");
  for (bool with_choices : {false, true}) {
    LabelledBatch batch;
    batch.sequences.ids = {1, 2};
    batch.sequences.lengths = {2};
    batch.labels = {1, 2};
    if (with_choices)
      batch.sequences.choices = 1000;
    else
      batch.targets = {1};
    EXPECT(refuses([&] { batch.validate(config, Head::kMaskedLm); }, ErrorCode::kInvalidArgument),
           with_choices ? "choices" : "label values");
  }
}

TEST(golden_trajectories_on_every_processor) {
  for (const Trajectory& golden : trajectories())
    for (const Processor& processor : processors()) {
      TrainingOptions options;
      options.device = processor.device;
      options.isa = processor.isa;
      Trainer trainer = trainer_of(golden, options);
      const auto& steps = golden.about.find("steps")->array();
      for (size_t s = 0; s < steps.size(); ++s) {
        const StepResult result = trainer.step(batches_of(golden, static_cast<int64_t>(s)));
        const std::string what = str(golden.name, " on ", processor.name(), ", step ", s);
        expect_near(result.losses.total, steps[s].find("loss")->number(), 1e-4, what + " loss");
        expect_near(result.grad_norm, steps[s].find("grad_norm")->number(), 1e-4, what + " norm");
        expect_near(result.learning_rate, steps[s].find("learning_rate")->number(), 1e-12, what + " rate");
      }
      const ParameterValues final = trainer.model().weights().values();
      for (const auto& [name, tensor] : golden.tensors) {
        if (name.rfind("final.", 0) != 0) continue;
        // In theory the gradient of these two is zero; they hold accumulated rounding.
        const bool rounding =
            name.find("key.bias") != std::string::npos || name.find("qa_outputs.bias") != std::string::npos;
        const float* values = final.of(without_prefix(std::string_view(name).substr(6)));
        double error = 0, largest = 0;
        for (size_t i = 0; i < tensor.values.size(); ++i) {
          error = std::max(error, std::fabs(tensor.values[i] - values[i]));
          largest = std::max(largest, std::fabs(tensor.values[i]));
        }
        EXPECT(error <= (rounding ? 1e-3 : 1e-4) * largest, golden.name, " ", name, " on ", processor.name(),
               ": error ", error, " of ", largest);
      }
    }
}

TEST(training_continues_bit_exactly_from_any_step_and_on_any_thread_count) {
  const std::string path = temporary("trainer.safetensors");
  for (const Trajectory& golden : trajectories())
    for (const char* dtype : {"fp32", "bf16"}) {
      Trajectory dropped = golden;
      dropped.config.hidden_dropout_prob = dropped.config.attention_probs_dropout_prob = 0.1f;
      TrainingOptions options;
      options.dtype = dtype;
      options.classifier_dropout = 0.1f;
      options.threads = 1;
      Trainer whole = trainer_of(dropped, options);
      options.threads = 2;
      Trainer threaded = trainer_of(dropped, options);
      options.threads = 3;
      options.recompute = true;
      Trainer recomputed = trainer_of(dropped, options);
      options.recompute = false;
      for (int64_t step = 0; step < 6; ++step) {
        const std::vector<LabelledBatch> batches = batches_of(golden, step);
        whole.save(path, "between");
        Trainer resumed = trainer_of(dropped, options);
        resumed.restore(path);
        whole.step(batches), threaded.step(batches), recomputed.step(batches), resumed.step(batches);
        const std::vector<float> values = values_of(whole);
        EXPECT(same_bits(values, values_of(resumed)), golden.name, " ", dtype, " resumed at step ", step);
        EXPECT(same_bits(values, values_of(threaded)), golden.name, " ", dtype, " on two threads");
        EXPECT(same_bits(values, values_of(recomputed)), golden.name, " ", dtype, " recomputed");
      }
      EXPECT(Trainer::note_of(path) == "between", "");
    }
  std::filesystem::remove(path);
}

TEST(rate_rules_hold_parameters_back) {
  for (const Trajectory& golden : trajectories()) {
    if (golden.head != Head::kSequenceClassification) continue;
    const auto weights =
        Weights::load(golden.config, golden.head, golden.folder + "/model.safetensors", nullptr);
    OptimizerOptions options = optimizer_of(golden);
    options.warmup_steps = 0;
    Trainer plain(golden.config, golden.head, *weights, {}, options, 1);
    options.rates = {{"albert.pooler.", 0.5, 0}, {"albert.", 1, 1}, {"classifier.", 1, 0}};
    Trainer ruled(golden.config, golden.head, *weights, {}, options, 1);
    const auto change = [&](Trainer& trainer, const char* name) {
      const float* const before = weights->find(name)->data;
      const float* const after = trainer.model().weights().of(name);
      double sum = 0;
      for (int64_t i = 0; i < weights->find(name)->count(); ++i) sum += std::fabs(after[i] - before[i]);
      return sum;
    };
    plain.step(batches_of(golden, 0)), ruled.step(batches_of(golden, 0));
    const char *const pooler = "pooler.weight", *const words = "embeddings.word_embeddings.weight";
    expect_near(change(ruled, "classifier.weight"), change(plain, "classifier.weight"), 1e-6, "the head");
    expect_near(change(ruled, pooler), 0.5 * change(plain, pooler), 1e-3, "half of the rate");
    EXPECT(change(ruled, words) == 0 && change(plain, words) > 0, "not before its step");
    ruled.step(batches_of(golden, 1));
    EXPECT(change(ruled, words) > 0, "from its step on");
  }
}

}  // namespace albert::test
