// Every golden model on every instruction set: outputs against float64 truth, and bits against themselves.
#include <cstdio>
#include <cstring>

#include "backends.h"
#include "golden.h"
#include "support/error.h"
#include "test.h"

namespace albert::test {
namespace {

// Largest error of an output relative to its largest value, by precision. The goldens are float64 and their
// models tiny and random, so that a rounded factor weighs more than in a model of full width.
double tolerance(const std::string& dtype) { return dtype == "fp32" ? 2e-5 : dtype == "bf16" ? 2e-2 : 8e-2; }

std::vector<std::pair<Processor, std::string>> every_processor_and_dtype() {
  std::vector<std::pair<Processor, std::string>> all;
  for (const Processor& processor : processors())
    for (const char* dtype : {"fp32", "bf16", "int8"})
      if (processor.has(dtype == std::string("int8") ? Precision::kInt8 : Precision::kFp32))
        all.emplace_back(processor, dtype);
  return all;
}

WantedOutputs everything(Head head, bool pooled) {
  WantedOutputs wanted;
  wanted.last_hidden_state = wanted.hidden_states = wanted.attentions = true;
  wanted.pooler_output = pooled;
  wanted.first_hidden_state = wanted.mean_hidden_state = true;
  wanted.logits = head != Head::kBase;
  wanted.sop_logits = head == Head::kPretraining;
  return wanted;
}

std::shared_ptr<Model> load(const GoldenCase& golden, const Processor& processor, int threads,
                            const std::string& dtype = "fp32") {
  ModelOptions options;
  options.dtype = dtype;
  options.head = golden.head;
  options.device = processor.device;
  options.isa = processor.isa;
  options.threads = threads;
  return Model::load(golden.config, "config.json", golden.folder + "/model.safetensors", options);
}

ForwardRequest request_of(const GoldenCase& golden) {
  ForwardRequest request;
  request.batch = golden.batch();
  request.wanted = everything(golden.head, golden.tensors.count("output.pooler_output") > 0);
  return request;
}

// One sequence (or one example's choices) of a batch as a request of its own.
ForwardRequest alone(const ForwardRequest& all, size_t example) {
  ForwardRequest one;
  one.wanted = all.wanted;
  const size_t group = all.batch.choices ? static_cast<size_t>(all.batch.choices) : 1;
  const size_t length = static_cast<size_t>(all.batch.lengths[0]), begin = example * group * length,
               end = begin + group * length;
  one.batch.choices = all.batch.choices;
  one.batch.lengths.assign(group, static_cast<int32_t>(length));
  one.batch.ids.assign(all.batch.ids.begin() + begin, all.batch.ids.begin() + end);
  one.batch.types.assign(all.batch.types.begin() + begin, all.batch.types.begin() + end);
  one.batch.mask.assign(all.batch.mask.begin() + begin, all.batch.mask.begin() + end);
  return one;
}

bool same_bits(const OutputTensor& whole, const OutputTensor& part, size_t example) {
  const size_t count = static_cast<size_t>(part.count());
  return whole.name == part.name &&
         std::memcmp(whole.data.get() + example * count, part.data.get(), count * sizeof(float)) == 0;
}

}  // namespace

TEST(golden_outputs_on_every_processor) {
  for (const GoldenCase& golden : golden_cases()) {
    for (const auto& [processor, dtype] : every_processor_and_dtype()) {
      const ForwardRequest request = request_of(golden);
      const ForwardResult result = std::move(load(golden, processor, 1, dtype)->forward({&request})[0]);
      size_t compared = 0;
      for (const OutputTensor& output : result) {
        if (!golden.tensors.count("output." + output.name)) continue;
        const double error = golden_error(golden, output);
        EXPECT(error <= tolerance(dtype), golden.name, " ", output.name, " in ", dtype, " on ",
               processor.name(), ": relative error ", error);
        ++compared;
      }
      for (const auto& [name, tensor] : golden.tensors) compared -= name.rfind("output.", 0) == 0;
      EXPECT(compared == 0, golden.name, ": outputs were not all compared");
    }
  }
}

TEST(rows_are_bit_identical_alone_in_batch_and_on_any_thread_count) {
  for (const GoldenCase& golden : golden_cases()) {
    for (const auto& [processor, dtype] : every_processor_and_dtype()) {
      const ForwardRequest request = request_of(golden);
      const auto single = load(golden, processor, 1, dtype);
      const auto triple = processor.device == "cpu" ? load(golden, processor, 3, dtype) : single;
      const ForwardResult whole = std::move(single->forward({&request})[0]);
      if (triple != single) {
        const ForwardResult threaded = std::move(triple->forward({&request})[0]);
        for (size_t i = 0; i < whole.size(); ++i)
          EXPECT(same_bits(whole[i], threaded[i], 0), golden.name, " ", whole[i].name, " ", dtype, " ",
                 processor.name(), " with 3 threads");
      }
      const size_t examples =
          request.batch.lengths.size() / (request.batch.choices ? request.batch.choices : 1);
      std::vector<ForwardRequest> requests;
      for (size_t example = 0; example < examples; ++example) requests.push_back(alone(request, example));
      std::vector<const ForwardRequest*> merged;
      for (const ForwardRequest& one : requests) merged.push_back(&one);
      const std::vector<ForwardResult> together = triple->forward(merged);
      for (size_t example = 0; example < examples; ++example) {
        const ForwardResult part = std::move(single->forward({&requests[example]})[0]);
        for (size_t i = 0; i < whole.size(); ++i) {
          EXPECT(same_bits(whole[i], part[i], example), golden.name, " ", whole[i].name, " ", dtype, " ",
                 processor.name(), " alone");
          EXPECT(same_bits(together[example][i], part[i], 0), golden.name, " ", whole[i].name, " ", dtype,
                 " ", processor.name(), " merged");
        }
      }
    }
  }
}

// The two summaries of the last hidden state against the state itself.
TEST(first_and_mean_hidden_state_agree_with_the_rows) {
  for (const GoldenCase& golden : golden_cases()) {
    const ForwardRequest request = request_of(golden);
    const ForwardResult result = std::move(load(golden, {"cpu", ""}, 1)->forward({&request})[0]);
    const auto output = [&](const char* name) -> const OutputTensor& {
      for (const OutputTensor& tensor : result)
        if (tensor.name == name) return tensor;
      throw Failure{golden.name + " has no " + name};
    };
    const OutputTensor &rows = output("last_hidden_state"), &first = output("first_hidden_state");
    const OutputTensor& mean = output("mean_hidden_state");
    const int64_t length = rows.dims[1], width = rows.dims[2];
    for (int64_t s = 0; s < rows.dims[0]; ++s)
      for (int64_t h = 0; h < width; ++h) {
        double sum = 0, count = 0;
        for (int64_t t = 0; t < length; ++t) {
          if (!request.batch.mask[static_cast<size_t>(s * length + t)]) continue;
          sum += rows.data[(s * length + t) * width + h];
          ++count;
        }
        EXPECT(first.data[s * width + h] == rows.data[s * length * width + h], golden.name);
        EXPECT(mean.data[s * width + h] == static_cast<float>(sum / count), golden.name, " mean");
      }
  }
}

// Asking for less must compute the same bits: the last layer then finishes only the rows that are needed.
TEST(selected_outputs_have_the_bits_of_full_ones) {
  for (const GoldenCase& golden : golden_cases()) {
    if (golden.head == Head::kBase) continue;
    const auto model = load(golden, {"cpu", ""}, 2);
    const ForwardRequest full = request_of(golden);
    ForwardRequest some = request_of(golden);
    some.wanted = {};
    some.wanted.logits = true;
    some.wanted.sop_logits = golden.head == Head::kPretraining;
    const bool language = golden.head == Head::kMaskedLm || golden.head == Head::kPretraining;
    if (language) some.logits_rows = {0, 2, 1, 5, 0, 0};
    const std::vector<ForwardResult> results = model->forward({&some, &full});
    const std::vector<ForwardResult> apart = model->forward({&some});
    for (size_t i = 0; i < results[0].size(); ++i) {
      const OutputTensor& output = results[0][i];
      EXPECT(same_bits(output, apart[0][i], 0), golden.name, " ", output.name,
             " depends on the other request");
      for (const OutputTensor& other : results[1]) {
        if (other.name != output.name) continue;
        if (!language || output.name == "sop_logits") {
          EXPECT(same_bits(other, output, 0), golden.name, " ", output.name);
          continue;
        }
        const int64_t vocabulary = output.dims[1], length = other.dims[1];
        for (size_t pair = 0; pair < some.logits_rows.size() / 2; ++pair) {
          const int64_t row = some.logits_rows[2 * pair] * length + some.logits_rows[2 * pair + 1];
          EXPECT(std::memcmp(output.data.get() + pair * vocabulary, other.data.get() + row * vocabulary,
                             vocabulary * sizeof(float)) == 0,
                 golden.name, " pair ", pair);
        }
      }
    }
  }
}

}  // namespace albert::test
