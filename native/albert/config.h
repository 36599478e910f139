// config.json of an ALBERT model, checked, with every field the runtime reads.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "ops.h"
#include "support/json.h"

namespace albert {

enum class Head {
  kBase,
  kPretraining,
  kMaskedLm,
  kSequenceClassification,
  kTokenClassification,
  kQuestionAnswering,
  kQuestionAnsweringBeam,
  kMultipleChoice,
};

// What the layers have in common, as Lan et al. 2019 (table 4) compare it. kGroups: whole blocks, one set of
// weights per group of layers, so that one group shares everything and L groups nothing. The others share one
// half of the block among all layers and give each layer its own other half.
enum class ParameterSharing { kGroups, kAttention, kFeedForward };

// What the labels of a sequence classification mean, as Hugging Face names it; where a file says nothing, one
// label means regression, several floats independent questions and an integer a class.
enum class ProblemType { kUnnamed, kRegression, kSingleLabel, kMultiLabel };

// Field names are config.json's. Dimensions in the letters of ops.h: V vocab_size, E embedding_size, H
// hidden_size, L num_hidden_layers, A num_attention_heads, D head_size, F intermediate_size.
struct Config {
  int32_t vocab_size = 30000;
  int32_t embedding_size = 128;
  int32_t hidden_size = 0;
  int32_t num_hidden_layers = 0;
  int32_t num_hidden_groups = 1;
  int32_t inner_group_num = 1;
  ParameterSharing parameter_sharing = ParameterSharing::kGroups;
  int32_t num_attention_heads = 0;
  int32_t intermediate_size = 0;
  int32_t max_position_embeddings = 512;
  int32_t type_vocab_size = 2;
  int32_t num_labels = 2;
  ProblemType problem_type = ProblemType::kUnnamed;
  Activation hidden_act = Activation::kGeluNew;
  float hidden_dropout_prob = 0;
  float attention_probs_dropout_prob = 0;
  float classifier_dropout_prob = 0.1f;
  float initializer_range = 0.02f;
  float layer_norm_eps = 1e-12f;
  int32_t pad_token_id = 0;
  int32_t bos_token_id = 2;
  int32_t eos_token_id = 3;
  Head head = Head::kBase;  // what `architectures` names; base when it names nothing

  int32_t head_size() const { return hidden_size / num_attention_heads; }
  // Which weight group layer l of L uses: floor(l * groups / L), which is what Hugging Face and the TF1
  // release compute with floats, also where groups does not divide L. In 64 bits, because a config need not
  // come from parse().
  int32_t group_of_layer(int32_t layer) const {
    return static_cast<int32_t>(int64_t{layer} * num_hidden_groups / num_hidden_layers);
  }
  // How many sets of each half of the block there are, and which of them a layer uses.
  int32_t attention_groups() const {
    return parameter_sharing == ParameterSharing::kAttention ? 1 : num_hidden_groups;
  }
  int32_t feed_forward_groups() const {
    return parameter_sharing == ParameterSharing::kFeedForward ? 1 : num_hidden_groups;
  }
  int32_t attention_group(int32_t layer) const {
    return parameter_sharing == ParameterSharing::kAttention ? 0 : group_of_layer(layer);
  }
  int32_t feed_forward_group(int32_t layer) const {
    return parameter_sharing == ParameterSharing::kFeedForward ? 0 : group_of_layer(layer);
  }

  bool regresses() const {
    return problem_type == ProblemType::kRegression ||
           (problem_type == ProblemType::kUnnamed && num_labels == 1);
  }

  // Throws Error{kInvalidConfig} that names `name` (the file), the field, what was expected and what came.
  static Config parse(std::string_view json, const std::string& name);
};

bool is_pooled(Head head);        // its result comes from the pooled first row of a sequence
bool needs_first_row(Head head);  // it reads position 0 of a sequence, masked or not
bool is_language(Head head);      // it scores every row against the vocabulary

const char* to_string(Head head);              // 'masked-lm' and so on, as the public API spells them
Head head_from_string(std::string_view name);  // throws Error{kInvalidArgument} that lists the names

}  // namespace albert
