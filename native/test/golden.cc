// Finding, reading and comparing golden cases.
#include "golden.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

#include "support/tensor_file.h"
#include "test.h"

namespace albert::test {
namespace {

template <typename Stored>
std::vector<double> widen_all(const StoredTensor& tensor) {
  std::vector<Stored> stored(tensor.bytes / sizeof(Stored));
  std::memcpy(stored.data(), tensor.data, tensor.bytes);
  return {stored.begin(), stored.end()};
}

GoldenTensor read_tensor(const StoredTensor& tensor) {
  GoldenTensor golden;
  golden.shape = tensor.shape;
  switch (tensor.dtype) {
    case DType::kF64:
      golden.values = widen_all<double>(tensor);
      break;
    case DType::kF32:
      golden.values = widen_all<float>(tensor);
      break;
    case DType::kI64:
      golden.values = widen_all<int64_t>(tensor);
      break;
    default:
      throw Failure{"golden tensor " + tensor.name + " has an unexpected type"};
  }
  return golden;
}

GoldenCase read_case(const std::filesystem::path& folder) {
  GoldenCase golden;
  golden.name = folder.filename().string();
  golden.folder = folder.string();
  golden.config = read_text(golden.folder + "/config.json");
  const Json about = Json::parse(read_text(golden.folder + "/case.json"), {ErrorCode::kData, "case.json"});
  std::string head = about.find("head")->string();
  std::replace(head.begin(), head.end(), '_', '-');
  golden.head = head_from_string(head);
  golden.tensors = read_tensors(golden.folder + "/expect.safetensors");
  return golden;
}

std::vector<int32_t> to_ints(const std::vector<double>& values) { return {values.begin(), values.end()}; }

}  // namespace

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::map<std::string, GoldenTensor> read_tensors(const std::string& path) {
  std::map<std::string, GoldenTensor> tensors;
  const TensorFile file = TensorFile::open(path);
  for (const StoredTensor& tensor : file.tensors) tensors[tensor.name] = read_tensor(tensor);
  return tensors;
}

LabelledBatch labelled_batch(const std::map<std::string, GoldenTensor>& tensors, const Config& config,
                             Head head) {
  LabelledBatch batch;
  batch.sequences = sequence_batch(tensors);
  const auto ints = [&](const char* name) {
    const auto found = tensors.find(name);
    return found == tensors.end() ? std::vector<int32_t>() : to_ints(found->second.values);
  };
  const auto labels = tensors.find("labels");
  const bool floats = labels != tensors.end() && head == Head::kSequenceClassification &&
                      (config.num_labels == 1 || labels->second.shape.size() == 2);
  if (floats)
    batch.targets.assign(labels->second.values.begin(), labels->second.values.end());
  else
    batch.labels = ints("labels");
  batch.sop_labels = ints("sop_labels");
  batch.start_positions = ints("start_positions");
  batch.end_positions = ints("end_positions");
  return batch;
}

SequenceBatch GoldenCase::batch() const { return sequence_batch(tensors); }

SequenceBatch sequence_batch(const std::map<std::string, GoldenTensor>& tensors) {
  SequenceBatch batch;
  const GoldenTensor& ids = tensors.at("input_ids");
  batch.ids = to_ints(ids.values);
  if (const auto types = tensors.find("token_type_ids"); types != tensors.end())
    batch.types = to_ints(types->second.values);
  if (const auto mask = tensors.find("attention_mask"); mask != tensors.end())
    batch.mask.assign(mask->second.values.begin(), mask->second.values.end());
  const int64_t length = ids.shape.back(), count = static_cast<int64_t>(ids.values.size()) / length;
  batch.lengths.assign(static_cast<size_t>(count), static_cast<int32_t>(length));
  if (ids.shape.size() == 3) batch.choices = static_cast<int32_t>(ids.shape[1]);
  return batch;
}

std::vector<GoldenCase> golden_cases() {
  std::vector<GoldenCase> all;
  for (const std::string& folder : {golden_folder() + "/model", shared_folder() + "/golden/model"}) {
    if (!std::filesystem::is_directory(folder)) continue;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      const std::string name = entry.path().filename().string();
      const bool known =
          std::any_of(all.begin(), all.end(), [&](const GoldenCase& other) { return other.name == name; });
      if (!known) all.push_back(read_case(entry.path()));
    }
  }
  if (all.empty()) throw Skip{"no golden models in " + golden_folder() + "/model"};
  return all;
}

double golden_error(const GoldenCase& golden, const OutputTensor& output) {
  const GoldenTensor& truth = golden.tensors.at("output." + output.name);
  if (truth.shape != output.dims) throw Failure{golden.name + " " + output.name + ": wrong shape"};
  const SequenceBatch batch = golden.batch();
  const int64_t length = batch.lengths[0];
  // [B, T, ..] and [B, A, T, T] have a token axis whose masked rows mean nothing; pooled outputs have none.
  const bool attention = output.name.rfind("attentions", 0) == 0;
  const bool tokens = !attention && output.dims.size() >= 2 && output.dims[1] == length &&
                      output.dims[0] == static_cast<int64_t>(batch.lengths.size()) &&
                      output.name != "pooler_output";
  const int64_t width = attention ? length : tokens && output.dims.size() == 3 ? output.dims[2] : 1;
  double error = 0, largest = 0;
  for (int64_t i = 0; i < output.count(); ++i) {
    if ((attention || tokens) && !batch.mask.empty()) {
      const int64_t row = i / width % length;
      const int64_t sequence = attention ? i / (output.dims[1] * length * length) : i / width / length;
      if (!batch.mask[static_cast<size_t>(sequence * length + row)]) continue;
    }
    const double difference = std::fabs(output.data[i] - truth.values[i]);
    if (!(difference <= error))
      error = std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
    largest = std::max(largest, std::fabs(truth.values[i]));
  }
  return error / largest;
}

}  // namespace albert::test
