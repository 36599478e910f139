// Gradients of every golden model against float64 truth, and the properties training relies on.
#include <cmath>
#include <cstring>

#include "golden.h"
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

}  // namespace

TEST(golden_gradients_on_every_isa) {
  for (const GoldenCase& golden : golden_cases()) {
    if (!has_gradients(golden)) continue;
    const LabelledBatch batch =
        labelled_batch(golden.tensors, Config::parse(golden.config, "config.json"), golden.head);
    for (const std::string& isa : cpu_info().available)
      for (const char* dtype : {"fp32", "bf16"}) {
        // Choices of one example share most of their features, and the gradients of a softmax over them sum
        // to zero: what is left after they cancel holds the rounding of all three products (0.033 measured;
        // any two of the three in fp32 still leave 0.03).
        const bool cancels = golden.head == Head::kMultipleChoice;
        const double tolerance = std::strcmp(dtype, "fp32") == 0 ? 1e-4 : cancels ? 4e-2 : 2e-2;
        TrainingOptions options;
        options.isa = isa;
        options.dtype = dtype;
        TrainingModel model = training_model(golden, options);
        batch.validate(model.config(), golden.head);
        const Losses losses = model.forward_backward(batch, DropoutPlaces::none());
        const double truth = golden.tensors.at("loss.loss").values[0];
        EXPECT(std::fabs(losses.total - truth) <= tolerance * std::fabs(truth), golden.name, " loss ",
               losses.total, " in ", dtype, " on ", isa, ", truth ", truth);
        size_t compared = 0;
        for (const auto& [name, tensor] : golden.tensors) {
          if (name.rfind("grad.", 0) != 0) continue;
          const double error =
              gradient_error(tensor, model.gradients().of(without_prefix(std::string_view(name).substr(5))),
                             largest_gradient(golden));
          EXPECT(error <= tolerance, golden.name, " ", name, " in ", dtype, " on ", isa, ": relative error ",
                 error);
          ++compared;
        }
        EXPECT(compared > 0, golden.name, " has no gradients");
      }
  }
}

}  // namespace albert::test
