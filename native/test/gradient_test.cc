// Gradients of every golden model against float64 truth, and the properties training relies on.
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>

#include "backends.h"
#include "golden.h"
#include "support/rng.h"
#include "test.h"
#include "train/training_model.h"

namespace albert::test {
namespace {

bool has_gradients(const GoldenCase& golden) { return golden.tensors.count("loss.loss") > 0; }

TrainingModel training_model(const GoldenCase& golden, const TrainingOptions& options) {
  const Config config = Config::parse(golden.config, "config.json");
  const auto weights = Weights::load(config, golden.head, golden.folder + "/model.safetensors", nullptr);
  return TrainingModel(config, golden.head, *weights, options);
}

// The largest error over the larger of the tensor's largest truth and 1e-3 of the case's largest gradient.
double gradient_error(const GoldenTensor& truth, const float* values, double largest_of_case) {
  double error = 0, largest = 1e-3 * largest_of_case;
  for (size_t i = 0; i < truth.values.size(); ++i) {
    const double difference = std::fabs(truth.values[i] - values[i]);
    if (!(difference <= error))
      error = std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
    largest = std::max(largest, std::fabs(truth.values[i]));
  }
  return error / largest;
}

double largest_gradient(const GoldenCase& golden) {
  double largest = 0;
  for (const auto& [name, tensor] : golden.tensors)
    if (name.rfind("grad.", 0) == 0)
      for (double value : tensor.values) largest = std::max(largest, std::fabs(value));
  return largest;
}

// Changes every weight by up to half a step of bf16, so that roundings are drawn anew.
void disturb(TrainingModel& model, uint64_t seed) {
  const ParameterValues values = model.weights().values();
  std::vector<Parameter> disturbed = values.parameters;
  std::vector<std::vector<float>> weights;
  uint64_t index = 0;
  for (Parameter& parameter : disturbed) {
    weights.emplace_back(parameter.data, parameter.data + parameter.count());
    for (float& weight : weights.back()) {
      const float unit = static_cast<float>(philox(seed, 0, index++).word[0] >> 8) * 0x1p-24f;
      weight *= 1 + 0x1p-9f * (2 * unit - 1);
    }
    parameter.data = weights.back().data();
  }
  model.weights().copy_from(disturbed);
  model.weights_changed();
}

}  // namespace

TEST(golden_gradients_on_every_processor) {
  for (const GoldenCase& golden : golden_cases()) {
    if (!has_gradients(golden)) continue;
    const Config config = Config::parse(golden.config, "config.json");
    const LabelledBatch batch = labelled_batch(golden.tensors, config, golden.head);
    batch.validate(config, golden.head);
    for (const Processor& processor : processors())
      for (const char* dtype : {"fp32", "bf16"}) {
        const bool rounds = std::strcmp(dtype, "bf16") == 0;
        // Choices of one example share most of their features, and the gradients of a softmax over them sum
        // to zero: what is left after they cancel holds the rounding of all three products, 0.03 to 0.08 of
        // it as weights move by 2e-5. The mean of draws is compared, with an error of 0.013.
        const bool cancels = rounds && golden.head == Head::kMultipleChoice;
        const int draws = cancels ? 16 : 1;
        const double tolerance = rounds ? 2e-2 : 1e-4;
        TrainingOptions options;
        options.device = processor.device;
        options.isa = processor.isa;
        options.dtype = dtype;
        std::map<std::string, std::vector<float>> means;
        for (int draw = 0; draw < draws; ++draw) {
          TrainingModel model = training_model(golden, options);
          if (draw > 0) disturb(model, static_cast<uint64_t>(draw));
          const Losses losses = model.forward_backward(batch, DropoutPlaces::none());
          const double truth = golden.tensors.at("loss.loss").values[0];
          EXPECT(std::fabs(losses.total - truth) <= tolerance * std::fabs(truth), golden.name, " loss ",
                 losses.total, " in ", dtype, " on ", processor.name(), ", truth ", truth);
          const ParameterValues gradients = model.gradients().values();
          for (const auto& [name, tensor] : golden.tensors) {
            if (name.rfind("grad.", 0) != 0) continue;
            const float* const gradient = gradients.of(without_prefix(std::string_view(name).substr(5)));
            std::vector<float>& mean = means[name];
            mean.resize(tensor.values.size());
            for (size_t i = 0; i < mean.size(); ++i) mean[i] += gradient[i] / static_cast<float>(draws);
          }
        }
        for (const auto& [name, mean] : means) {
          const double error = gradient_error(golden.tensors.at(name), mean.data(), largest_gradient(golden));
          EXPECT(error <= tolerance, golden.name, " ", name, " in ", dtype, " on ", processor.name(),
                 ": relative error ", error);
        }
        EXPECT(!means.empty(), golden.name, " has no gradients");
      }
  }
}

namespace {

// What the goldens do not have: odd sizes, E as wide as H, groups of several blocks, other activations,
// halves of a block shared.
const char* const kVariants[] = {
    "\"embedding_size\": 7, \"hidden_size\": 33, \"num_attention_heads\": 3, \"intermediate_size\": 29, "
    "\"hidden_act\": \"silu\", \"num_hidden_groups\": 2, \"inner_group_num\": 2",
    "\"embedding_size\": 24, \"hidden_size\": 24, \"num_attention_heads\": 2, \"intermediate_size\": 40, "
    "\"hidden_act\": \"gelu\", \"parameter_sharing\": \"attention\"",
    "\"embedding_size\": 16, \"hidden_size\": 40, \"num_attention_heads\": 5, \"intermediate_size\": 40, "
    "\"hidden_act\": \"tanh\", \"parameter_sharing\": \"feed_forward\""};

Config variant(const char* fields) {
  return Config::parse(str("{\"model_type\": \"albert\", \"vocab_size\": 150, \"num_hidden_layers\": 3, "
                           "\"max_position_embeddings\": 20, \"num_labels\": 3, \"initializer_range\": 0.3, ",
                           fields, "}"),
                       "config");
}

// Four ragged sequences with holes, one of them without its first position.
LabelledBatch labels_for(Head head) {
  LabelledBatch batch;
  batch.sequences.lengths = {5, 9, 3, 12};
  if (head == Head::kMultipleChoice) batch.sequences.choices = 2;
  uint64_t drawn = 0;
  const auto draw = [&](uint32_t below) {
    return static_cast<int32_t>(philox(5, 0, drawn++).word[0] % below);
  };
  const bool by_token = labels_tokens(head);
  for (int32_t length : batch.sequences.lengths) {
    for (int32_t i = 0; i < length; ++i) {
      batch.sequences.ids.push_back(draw(50));
      batch.sequences.types.push_back(head == Head::kQuestionAnsweringBeam ? i > 0 : draw(2));
      batch.sequences.mask.push_back(i == 2 || (length == 9 && i == 0) ? 0 : 1);
      if (by_token)
        batch.labels.push_back(draw(3) == 0 ? kIgnoredLabel
                                            : draw(head == Head::kTokenClassification ? 3 : 50));
    }
    if (head == Head::kPretraining) batch.sop_labels.push_back(draw(2));
    if (head == Head::kSequenceClassification) batch.labels.push_back(draw(3));
    if (head == Head::kQuestionAnswering) {
      batch.start_positions.push_back(1);
      batch.end_positions.push_back(length == 5 ? 99 : length - 1);  // one answer lies outside
    }
    if (head == Head::kQuestionAnsweringBeam) {
      batch.start_positions.push_back(length == 3 ? 0 : 1);
      batch.end_positions.push_back(length == 5 ? 99 : length == 3 ? 0 : length - 2);
      batch.is_impossible.push_back(length == 9 ? kIgnoredLabel : length == 3);
    }
  }
  if (head == Head::kMultipleChoice) batch.labels = {1, 0};
  return batch;
}

bool classifies(Head head) {
  return head == Head::kSequenceClassification || head == Head::kTokenClassification;
}

}  // namespace

// The weighted mean over all labels is the mean over those of weight 1 when the others weigh nothing.
TEST(class_weights_choose_among_labels) {
  const Config config = variant(kVariants[0]);
  for (Head head : {Head::kSequenceClassification, Head::kTokenClassification}) {
    const auto weights = Weights::create(config, head, 3);
    LabelledBatch batch = labels_for(head);
    TrainingOptions options;
    options.class_weights = {0, 3, 3};
    const double weighted = TrainingModel(config, head, *weights, options).evaluate(batch).total;
    std::replace(batch.labels.begin(), batch.labels.end(), 0, kIgnoredLabel);
    const double chosen = TrainingModel(config, head, *weights, {}).evaluate(batch).total;
    EXPECT(std::fabs(weighted - chosen) <= 1e-6 * chosen, to_string(head), ": ", weighted, " and ", chosen);
    options.class_weights = {1, 1};
    EXPECT(refuses([&] { TrainingModel(config, head, *weights, options); }, ErrorCode::kInvalidArgument),
           "two weights for three labels");
  }
}

// 128 of some 280 masked words in memory at a time, and all of them: the same sums in another order.
TEST(logits_that_take_turns_give_the_same_gradient) {
  const Config config = variant(kVariants[1]);
  const auto weights = Weights::create(config, Head::kMaskedLm, 3);
  LabelledBatch batch;
  batch.sequences.lengths.assign(15, 19);
  for (uint64_t i = 0; i < 15 * 19; ++i) {
    const Philox4 random = philox(6, 0, i);
    batch.sequences.ids.push_back(static_cast<int32_t>(random.word[0] % 150));
    batch.labels.push_back(i % 50 == 7 ? kIgnoredLabel : static_cast<int32_t>(random.word[1] % 150));
  }
  batch.sequences.types.assign(batch.labels.size(), 0);
  batch.sequences.mask.assign(batch.labels.size(), 1);
  for (const Processor& processor : processors())
    for (const char* dtype : {"fp32", "bf16"}) {
      TrainingOptions options;
      options.device = processor.device;
      options.isa = processor.isa;
      options.dtype = dtype;
      TrainingModel whole(config, Head::kMaskedLm, *weights, options);
      options.logit_bytes = 1;
      TrainingModel turns(config, Head::kMaskedLm, *weights, options);
      const Losses expected = whole.forward_backward(batch, DropoutPlaces::none());
      const Losses losses = turns.forward_backward(batch, DropoutPlaces::none());
      EXPECT(std::fabs(losses.total - expected.total) <= 1e-6 * expected.total, "loss ", losses.total,
             " and ", expected.total, " in ", dtype, " on ", processor.name());
      EXPECT(
          losses.parts[0].count == expected.parts[0].count && losses.parts[0].hits == expected.parts[0].hits,
          losses.parts[0].hits, " hits of ", losses.parts[0].count, " in ", dtype, " on ", processor.name());
      const ParameterValues values = turns.gradients().values();
      for (const Parameter& truth : whole.gradients().values().parameters) {
        const float* const gradient = values.of(without_prefix(truth.name));
        float error = 0, largest = 1e-6f;
        for (int64_t i = 0; i < truth.count(); ++i) {
          error = std::max(error, std::fabs(gradient[i] - truth.data[i]));
          largest = std::max(largest, std::fabs(truth.data[i]));
        }
        EXPECT(error <= 1e-5f * largest, truth.name, " in ", dtype, " on ", processor.name(),
               ": relative error ", error / largest);
      }
    }
}

// Along the gradient the loss must change by the gradient's norm.
TEST(gradients_of_odd_models_point_uphill) {
  for (const char* fields : kVariants)
    for (const std::string& device : devices())
      for (Head head :
           {Head::kPretraining, Head::kMaskedLm, Head::kSequenceClassification, Head::kTokenClassification,
            Head::kQuestionAnswering, Head::kQuestionAnsweringBeam, Head::kMultipleChoice}) {
        const Config config = variant(fields);
        TrainingOptions options;
        options.device = device;
        if (classifies(head)) options.class_weights = {0.5f, 2, 0.25f};
        TrainingModel model(config, head, *Weights::create(config, head, 3), options);
        const LabelledBatch batch = labels_for(head);
        const double loss = model.forward_backward(batch, DropoutPlaces::none()).total;
        EXPECT(loss == model.evaluate(batch).total, "the loss of an evaluation");
        double squares = 0;
        const ParameterValues gradients = model.gradients().values();
        for (const Parameter& gradient : gradients.parameters)
          for (int64_t i = 0; i < gradient.count(); ++i)
            squares += double{gradient.data[i]} * gradient.data[i];
        const double norm = std::sqrt(squares);
        // A step that changes the loss by 0.002 either way: these models bend within ten times that.
        const double step = 0.002 / norm;
        double losses[2];
        for (int side = 0; side < 2; ++side) {
          const double along = (side ? -2 : 1) * step / norm;
          const ParameterValues weights = model.weights().values();
          for (size_t p = 0; p < weights.parameters.size(); ++p) {
            const Parameter& weight = weights.parameters[p];
            std::vector<float> moved(weight.data, weight.data + weight.count());
            for (size_t i = 0; i < moved.size(); ++i)
              moved[i] = static_cast<float>(moved[i] + along * gradients.parameters[p].data[i]);
            model.backend().upload(model.weights().slice(p), moved.data(), moved.size());
          }
          model.weights_changed();
          losses[side] = model.evaluate(batch).total;
        }
        const double slope = (losses[0] - losses[1]) / (2 * step);
        EXPECT(std::fabs(slope / norm - 1) < 1e-2, to_string(head), " of {", fields, "} on ", device,
               ": slope ", slope, ", gradient's norm ", norm);
      }
}

TEST(a_batch_without_any_label_has_no_loss_and_no_gradient) {
  const Config config = variant(kVariants[0]);
  for (const std::string& device : devices())
    for (Head head : {Head::kMaskedLm, Head::kTokenClassification}) {
      TrainingOptions options;
      options.device = device;
      TrainingModel model(config, head, *Weights::create(config, head, 3), options);
      LabelledBatch batch = labels_for(head);
      std::fill(batch.labels.begin(), batch.labels.end(), kIgnoredLabel);
      const Losses losses = model.forward_backward(batch, DropoutPlaces(1, 2));
      EXPECT(losses.total == 0 && losses.parts.at(0).count == 0, to_string(head), " loss ", losses.total);
      for (const Parameter& gradient : model.gradients().values().parameters)
        for (int64_t i = 0; i < gradient.count(); ++i)
          EXPECT(gradient.data[i] == 0, to_string(head), " ", gradient.name, " on ", device);
    }
}

// A half that all layers share gets the sum of what its copies would get.
TEST(gradients_of_shared_halves_are_sums_over_copies) {
  const std::string path = temporary("shared-half.safetensors");
  for (const char* sharing : {"attention", "feed_forward"}) {
    const std::string fields =
        "\"embedding_size\": 8, \"hidden_size\": 24, \"num_attention_heads\": 2, "
        "\"intermediate_size\": 40, ";
    const Config half = variant(str(fields, "\"parameter_sharing\": \"", sharing, "\"").c_str());
    const Config none = variant((fields + "\"parameter_sharing\": \"none\"").c_str());
    const auto weights = Weights::create(half, Head::kPretraining, 3);
    weights->save(path);
    TrainingModel shared(half, Head::kPretraining, *weights, TrainingOptions());
    TrainingModel copies(none, Head::kPretraining, *Weights::load(none, Head::kPretraining, path, nullptr),
                         TrainingOptions());
    const LabelledBatch batch = labels_for(Head::kPretraining);
    shared.forward_backward(batch, DropoutPlaces::none());
    copies.forward_backward(batch, DropoutPlaces::none());
    const ParameterValues gradients = shared.gradients().values();
    for (const Parameter& gradient : gradients.parameters) {
      // Copies of a shared parameter are those that its name finds in every group but its own.
      const std::string name(without_prefix(gradient.name));
      const size_t group = name.find("groups.0.");
      double error = 0, largest = 1e-3;
      for (int64_t i = 0; i < gradient.count(); ++i) {
        double sum = copies.gradients().of(name)[i];
        for (const char* other : {"groups.1.", "groups.2."}) {
          if (group == std::string::npos) continue;
          std::string copy = name;
          copy.replace(group, 9, other);
          if (weights->find(copy) == weights->find(name)) sum += copies.gradients().of(copy)[i];
        }
        error = std::max(error, std::fabs(sum - gradient.data[i]));
        largest = std::max(largest, std::fabs(sum));
      }
      EXPECT(error <= 1e-5 * largest, sharing, " ", name, ": error ", error, " of ", largest);
    }
  }
  std::filesystem::remove(path);
}

}  // namespace albert::test
