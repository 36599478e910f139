// The encoder as training runs it: a forward that saves what its backward takes.
#pragma once

#include <memory>
#include <vector>

#include "albert/batch.h"
#include "albert/config.h"
#include "albert/workspace.h"
#include "linear.h"
#include "norm.h"
#include "ops.h"
#include "parameters.h"

namespace albert {

// The dropout of one pass: every place in the model draws from a stream of its own.
class DropoutPlaces {
 public:
  // pass: the number of the forward pass in a training run; it and the seed make the draws.
  DropoutPlaces(uint64_t seed, uint64_t pass) : seed_(seed), pass_(pass) {}
  static DropoutPlaces none() { return DropoutPlaces(); }
  // place < 65,536
  Dropout at(float probability, uint64_t place) const {
    // The highest bit keeps these streams apart from those that draw weights and batches.
    return {enabled_ ? probability : 0, seed_, uint64_t{1} << 63 | pass_ << 16 | place};
  }

 private:
  DropoutPlaces() : enabled_(false) {}
  bool enabled_ = true;
  uint64_t seed_ = 0, pass_ = 0;
};

class TrainingEncoder {
 public:
  // recompute: backward runs each block's forward again instead of keeping its activations, so that a layer
  // costs the memory of its input alone.
  TrainingEncoder(const Config& config, Precision precision, bool recompute, ParameterSet& weights,
                  ParameterSet& gradients, Backend& backend);
  void repack();

  // The last hidden state [result rows, row_stride(H)] of a batch, which must live until backward; valid
  // until the next forward.
  const float* forward(const PackedBatch& batch, const DropoutPlaces& dropout);
  // Adds the gradients of all parameters. dx [N, row_stride(H)]: the gradient of forward's result in its
  // first rows; all of it is overwritten.
  void backward(float* dx);

  size_t activation_bytes() const { return workspace_.bytes(); }

 private:
  struct AttentionPart {
    TrainingLinear qkv, output;
    TrainingNorm norm;
  };
  struct FeedForwardPart {
    TrainingLinear up, down;
    TrainingNorm norm;
  };
  // What a block's backward takes; rows of row_stride(width). Of the last block all but its input and heads
  // hold the result's rows alone.
  struct Saved {
    const float* input;    // [N, H]
    Heads heads;           // queries, keys and values
    float* context;        // [N, H]
    float* attention_sum;  // [N, H] what the first LayerNorm was given
    float* middle;         // [N, H] what it gave
    float* inner;          // [N, F] before the activation
    float* output_sum;     // [N, H] what the second LayerNorm was given
  };

  Saved take_saved(int64_t rows);
  int64_t blocks() const { return int64_t{config_.num_hidden_layers} * config_.inner_group_num; }
  const AttentionPart& attention_of(int64_t block) const;
  const FeedForwardPart& feed_forward_of(int64_t block) const;
  void block_forward(int64_t block, const Saved& saved, float* y);
  void block_backward(int64_t block, const Saved& saved, float* dx);
  // Whether a block finishes the result's rows alone: the last one of a batch that selects.
  bool selects(int64_t block) const { return block == blocks() - 1 && batch_->selects(); }
  // The selected rows of x [N, H].
  void gather(float* y, const float* x);
  // x [N, H] becomes zero but for the selected rows, which were its first.
  void spread(float* x);
  // x after the dropout of `place`: x itself where nothing is dropped, else in scratch memory.
  const float* dropped(const float* x, uint64_t place, int64_t rows);
  Dropout hidden_dropout(uint64_t place) const { return dropout_.at(config_.hidden_dropout_prob, place); }

  const Config& config_;
  Backend& backend_;
  bool recompute_;
  Precision head_precision_;
  TrainingNorm embedding_norm_;
  EmbeddingWeights embedding_;
  EmbeddingGradient embedding_gradient_;
  std::unique_ptr<TrainingLinear> map_;
  std::vector<AttentionPart> attention_;       // [attention_groups * inner_group_num]
  std::vector<FeedForwardPart> feed_forward_;  // [feed_forward_groups * inner_group_num]

  // Of the last forward.
  Workspace workspace_;
  const PackedBatch* batch_ = nullptr;
  std::vector<int32_t> selected_;  // rows of the batch
  Segments segments_;
  DropoutPlaces dropout_ = DropoutPlaces::none();
  float *embedding_sum_ = nullptr, *embeddings_ = nullptr;  // [N, E]
  std::vector<float*> inputs_;                              // [blocks + 1] of [N, H]
  std::vector<Saved> saved_;                                // one for each block, or one in all
  float *inner_ = nullptr, *dinner_ = nullptr;              // [N, F] scratch
  float* dqkv_ = nullptr;                                   // [N, 3H]
  float *dcontext_ = nullptr, *branch_ = nullptr;           // [N, H]
};

}  // namespace albert
