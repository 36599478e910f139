// Reads golden cases: inputs and float64 truth from expect.safetensors, and compares outputs with it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "albert/model.h"
#include "train/labels.h"

namespace albert::test {

struct GoldenTensor {
  std::vector<int64_t> shape;
  std::vector<double> values;
};

struct GoldenCase {
  std::string name;    // the folder's name
  std::string folder;  // config.json, model.safetensors
  std::string config;  // content of config.json
  Head head = Head::kBase;
  std::map<std::string, GoldenTensor> tensors;

  SequenceBatch batch() const;  // input_ids, token_type_ids, attention_mask
};

std::string read_text(const std::string& path);
std::map<std::string, GoldenTensor> read_tensors(const std::string& path);  // of a safetensors file

// input_ids, token_type_ids and attention_mask, where they are there.
SequenceBatch sequence_batch(const std::map<std::string, GoldenTensor>& tensors);
// With labels of every kind that the tensors have.
LabelledBatch labelled_batch(const std::map<std::string, GoldenTensor>& tensors, const Config& config,
                             Head head);

// Every case of <golden>/model, and of the shared folder when there is one. Throws Skip when there is none.
std::vector<GoldenCase> golden_cases();

// The largest error over the largest truth; rows the mask removes are not compared. `dims` must equal the
// truth's shape.
double golden_error(const GoldenCase& golden, const OutputTensor& output);

}  // namespace albert::test
