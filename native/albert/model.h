// A loaded ALBERT: configuration, weights packed for a backend, and the forward pass over requests of any
// shape.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "batch.h"
#include "calibration.h"
#include "config.h"
#include "ops.h"
#include "weights.h"

namespace albert {

struct ModelOptions {
  std::optional<Head> head;    // default: what the configuration's `architectures` names
  std::string dtype = "fp32";  // fp32, bf16 or int8: the encoder's products; heads stay fp32
  std::string device = "cpu";  // as make_backend() takes it
  std::string isa;             // empty: the best this machine has, or ALBERT_CPU_ISA
  int threads = 0;             // 0: the cores this process may use
  std::string calibration;     // int8: a file that calibrate() wrote, or empty
};

// Which outputs to compute; a request may want those that its model's head has.
struct WantedOutputs {
  bool last_hidden_state = false;
  bool first_hidden_state = false;  // [B, H] the row of position 0
  bool mean_hidden_state = false;   // [B, H] the mean over the real tokens
  bool pooler_output = false;
  bool logits = false;  // of the head: logits, prediction_logits, start_logits and end_logits, or the beam
  bool sop_logits = false;  // pre-training head
  bool hidden_states = false;
  bool attentions = false;

  bool pooled() const { return pooler_output || sop_logits; }
  bool any() const {
    return last_hidden_state || first_hidden_state || mean_hidden_state || pooled() || logits ||
           hidden_states || attentions;
  }
};

struct ForwardRequest {
  SequenceBatch batch;
  WantedOutputs wanted;
  // Masked-language heads: the (sequence, position) pairs whose logits are wanted, R of them; empty: every
  // row. With pairs the logits are [R, V] instead of [B, T, V].
  std::vector<int32_t> logits_rows;
  const std::atomic<uint8_t>* cancelled = nullptr;  // polled between layers; non-zero abandons the request
  bool is_cancelled() const { return cancelled && cancelled->load(std::memory_order_relaxed) != 0; }
};

struct OutputTensor {
  // Throws Error{kOutOfMemory} for more values than can be counted. Their memory is uninitialised.
  OutputTensor(std::string output, std::vector<int64_t> shape);

  std::string name;           // 'logits', 'hidden_states.0', ...
  std::vector<int64_t> dims;  // padded to the longest sequence; masked rows hold zeros
  std::unique_ptr<float[]> data;
  int64_t count() const { return element_count(dims); }
};
using ForwardResult = std::vector<OutputTensor>;

// Throws Error{kInvalidArgument | kTooLong | kOutOfVocabulary} when the ids, types or lengths of a batch
// cannot run on a model of this configuration.
void validate(const SequenceBatch& batch, const Config& config, Head head);

class Model {
 public:
  // config_json is the text of config.json and config_name what errors call it.
  static std::shared_ptr<Model> load(const std::string& config_json, const std::string& config_name,
                                     const std::string& weights_path, const ModelOptions& options,
                                     const FreshParameters& fresh = {});
  static std::shared_ptr<Model> create(const std::string& config_json, uint64_t seed,
                                       const ModelOptions& options);

  const Config& config() const { return config_; }
  Head head() const { return head_; }
  const Backend& backend() const { return *backend_; }
  std::shared_ptr<const Weights> weights() const;
  const std::vector<std::string>& warnings() const { return warnings_; }
  // Packed weights, and the workspace that passes have grown so far, as of the last one that ended. From any
  // thread, and at once.
  size_t memory_bytes() const { return memory_bytes_; }

  // Throws Error{kInvalidArgument | kTooLong | kOutOfVocabulary} when the request cannot run on this model:
  // checks ids, types, lengths and wanted outputs, so that forward() itself meets only good input.
  void validate(const ForwardRequest& request) const;

  // Runs validated requests as one packed batch; results in the same order, each bit-identical to running it
  // alone. A request that was cancelled has an empty result.
  std::vector<ForwardResult> forward(const std::vector<const ForwardRequest*>& requests);

  // Writes how far the inputs of this model's products reach in these sequences, for an int8 model to be
  // loaded with. Throws Error{kInvalidArgument} unless this one computes in fp32 on the CPU, and what
  // validate() throws. From any thread: waits for a running forward.
  void calibrate(const SequenceBatch& batch, const std::string& path);

  // Goes on with other values of the same parameters, as training gives them. From any thread: waits for a
  // running forward.
  void replace_weights(std::unique_ptr<Weights> weights);

 private:
  Model(Config config, const ModelOptions& options);
  struct Packed;
  struct MemoryCount;  // brings memory_bytes_ up to date at the end of a scope

  Config config_;
  Head head_;
  Precision precision_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Calibration> calibration_;  // null, or what the weights are fitted to
  std::vector<std::string> warnings_;
  mutable std::mutex weights_mutex_;  // held for a moment, also by the thread of JavaScript
  std::shared_ptr<const Weights> weights_;
  mutable std::mutex backend_mutex_;  // held by whoever computes, for as long as that takes
  std::unique_ptr<Packed> packed_;
  std::atomic<size_t> memory_bytes_{0};
};

}  // namespace albert
