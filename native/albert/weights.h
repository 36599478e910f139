// The one table of a model's parameters, name -> tensor, visited by load, save and everything that computes
// with them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "config.h"
#include "support/tensor_file.h"

namespace albert {

// One parameter under its Hugging Face name. Linear weights are [out, in], row-major fp32.
struct Parameter {
  std::string name;
  std::vector<int64_t> shape;
  const float* data = nullptr;  // in the mapped file, or in memory the table owns

  int64_t count() const { return element_count(shape); }
};

// A name as the tables keep it: heads' checkpoints put 'albert.' before the names of the base model.
std::string_view without_prefix(std::string_view name);

// What the names of the parameters of one block begin with: block k of a group of layers.
std::string block_name(int32_t group, int32_t k);

// The name that the parameter called `of` has in another group of layers that shares it.
struct SharedName {
  std::string name, of;
};

// How load() draws parameters of a head afresh.
struct FreshParameters {
  uint64_t seed = 0;
  bool mismatched = false;  // also those that the file has in another shape, as that of other labels
};

class Weights {
 public:
  // Names and shapes of every parameter of a model, in the order they are saved; data is null. What groups of
  // layers share stands once, under the name it has in group 0.
  // The names of heads start with 'albert.'; those of the base model have no prefix.
  static std::vector<Parameter> describe(const Config& config, Head head);

  // Reads model.safetensors, model.safetensors.index.json, pytorch_model.bin or pytorch_model.bin.index.json.
  // F32 tensors stay in the mapped file; others are converted once. Parameters of a head that the file lacks
  // are drawn afresh and named in `warnings` (may be null); a missing encoder parameter, a wrong shape or a
  // broken file throws Error{kCheckpoint}, and so do copies of a shared parameter that differ.
  static std::unique_ptr<Weights> load(const Config& config, Head head, const std::string& path,
                                       std::vector<std::string>* warnings, const FreshParameters& fresh = {});

  // Fresh weights: truncated normal of initializer_range for matrices and tables, 1 and 0 for LayerNorm, 0
  // for biases.
  static std::unique_ptr<Weights> create(const Config& config, Head head, uint64_t seed);

  // Copies of values that someone else keeps, in the order of describe(). Throws Error{kInvalidArgument} for
  // those of another model.
  static std::unique_ptr<Weights> copy(const Config& config, Head head, const std::vector<Parameter>& values);

  virtual ~Weights() = default;

  const std::vector<Parameter>& all() const { return parameters_; }
  // The parameter called `name` without the 'albert.' prefix; null when this head has none. The name that a
  // shared parameter has in another group finds it too.
  const Parameter* find(std::string_view name) const;
  // Its values; throws std::logic_error for a name the table does not have.
  const float* data(std::string_view name) const;

  // The parameter called `name`, with or without 'albert.', or the decoder as 'predictions.decoder.weight'.
  // Throws Error{kInvalidArgument} for a name that this head does not have.
  Parameter lookup(std::string_view name) const;

  // Names of the parameters that load() found in no file and drew afresh: their outputs mean nothing yet.
  const std::vector<std::string>& fresh() const { return fresh_; }

  // The decoder of the masked-language head: the word table, or the file's own matrix when it is not tied.
  // [V, E]
  const float* decoder() const { return decoder_; }
  bool has_tied_decoder() const { return decoder_ == data("embeddings.word_embeddings.weight"); }

  // Writes a safetensors file (temporary file, then rename) that Hugging Face loads: what groups share is
  // written for each of them. As F32, or rounded to F16. Throws Error{kCheckpoint}.
  void save(const std::string& path, DType dtype = DType::kF32) const;

  // Throws Error{kCheckpoint} when the file that values stay in is no longer what was loaded.
  virtual void require_intact() const {}

  // Tells the system that mapped pages are no longer needed in memory (after packing); they can be read
  // again.
  virtual void release_pages() const {}

 protected:
  std::vector<Parameter> parameters_;
  std::vector<SharedName> shared_names_;
  std::unordered_map<std::string, size_t> index_;
  std::vector<std::string> fresh_;
  const float* decoder_ = nullptr;
};

}  // namespace albert
