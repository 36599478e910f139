// config.json: real files, defaults, inference of what old files leave out, and a refusal for every wrong
// field.
#include "albert/config.h"

#include <fstream>
#include <iterator>

#include "test.h"

namespace albert {
namespace {

const char* const kDimensions =
    "\"hidden_size\": 48, \"num_hidden_layers\": 6, \"num_attention_heads\": 4, \"intermediate_size\": 80";

Config parse(const std::string& fields, const std::string& type = "\"model_type\": \"albert\"") {
  return Config::parse(
      str("{", type, type.empty() ? "" : ", ", kDimensions, fields.empty() ? "" : ", ", fields, "}"),
      "config.json");
}

void refuse(const std::string& json, const std::string& part) {
  const std::string message =
      test::refusal([&] { Config::parse(json, "config.json"); }, ErrorCode::kInvalidConfig);
  EXPECT(message.find(part) != std::string::npos && message.find("config.json: ") == 0, part, " for ", json,
         " in: ", message);
}

// A repeated key keeps its last value, so that `fields` may overwrite a dimension.
void refuse_fields(const std::string& fields, const std::string& part) {
  refuse(str("{\"model_type\": \"albert\", ", kDimensions, ", ", fields, "}"), part);
}

}  // namespace

TEST(config_reads_every_golden_model) {
  for (const char* name :
       {"base", "base-gelu-erf", "base-groups", "base-relu-odd", "pretraining", "masked-lm",
        "sequence-regression", "token-classification", "question-answering", "multiple-choice"}) {
    std::ifstream file(test::golden_folder() + "/model/" + name + "/config.json");
    if (!file) throw test::Skip{"no golden models in " + test::golden_folder()};
    std::string text((std::istreambuf_iterator<char>(file)), {});
    Config config = Config::parse(text, name);
    EXPECT(config.hidden_size % config.num_attention_heads == 0, name);
    if (std::string(name).find("base") != 0 && std::string(name).find("sequence") != 0)
      EXPECT(to_string(config.head) == std::string(name), to_string(config.head));
    if (name == std::string("sequence-regression"))
      EXPECT(config.num_labels == 1 && config.head == Head::kSequenceClassification, config.num_labels);
    if (name == std::string("base-gelu-erf")) EXPECT(config.hidden_act == Activation::kGelu, name);
  }
}

TEST(config_reads_every_field) {
  Config config = parse(
      "\"vocab_size\": 21128, \"embedding_size\": 64, \"num_hidden_groups\": 2, \"inner_group_num\": 3, "
      "\"max_position_embeddings\": 100, \"type_vocab_size\": 1, \"hidden_act\": \"relu\", "
      "\"hidden_dropout_prob\": 0.1, "
      "\"attention_probs_dropout_prob\": 0.2, \"classifier_dropout_prob\": 0.3, \"initializer_range\": 0.01, "
      "\"layer_norm_eps\": 1e-5, \"pad_token_id\": 1, \"bos_token_id\": 101, \"eos_token_id\": 102, "
      "\"architectures\": [\"AlbertForTokenClassification\"], \"id2label\": {\"0\": \"O\", \"1\": \"B\", "
      "\"2\": \"I\"}");
  EXPECT(config.vocab_size == 21128 && config.embedding_size == 64 && config.hidden_size == 48,
         config.vocab_size);
  EXPECT(config.num_hidden_layers == 6 && config.num_hidden_groups == 2 && config.inner_group_num == 3, "");
  EXPECT(config.num_attention_heads == 4 && config.intermediate_size == 80 && config.head_size() == 12, "");
  EXPECT(config.max_position_embeddings == 100 && config.type_vocab_size == 1 && config.num_labels == 3, "");
  EXPECT(config.hidden_act == Activation::kRelu && config.head == Head::kTokenClassification, "");
  EXPECT(config.hidden_dropout_prob == 0.1f && config.attention_probs_dropout_prob == 0.2f, "");
  EXPECT(config.classifier_dropout_prob == 0.3f && config.initializer_range == 0.01f, "");
  EXPECT(config.layer_norm_eps == 1e-5f && config.pad_token_id == 1, "");
  EXPECT(config.bos_token_id == 101 && config.eos_token_id == 102, "");
}

TEST(config_defaults_of_albert) {
  Config config = parse("");
  EXPECT(config.vocab_size == 30000 && config.embedding_size == 128 && config.max_position_embeddings == 512,
         "");
  EXPECT(config.num_hidden_groups == 1 && config.inner_group_num == 1 && config.type_vocab_size == 2, "");
  EXPECT(config.hidden_act == Activation::kGeluNew && config.layer_norm_eps == 1e-12f, "");
  EXPECT(config.num_labels == 2 && config.head == Head::kBase && config.classifier_dropout_prob == 0.1f, "");
  EXPECT(parse("\"hidden_dropout_prob\": 0.2, \"classifier_dropout_prob\": null").classifier_dropout_prob ==
             0.2f,
         "");
  EXPECT(parse("\"pad_token_id\": null, \"id2label\": null, \"hidden_act\": null").hidden_act ==
             Activation::kGeluNew,
         "");
}

TEST(config_infers_the_model_type) {
  EXPECT(parse("\"architectures\": [\"AlbertForMaskedLM\"]", "").head == Head::kMaskedLm, "");
  EXPECT(parse("\"embedding_size\": 128", "").embedding_size == 128, "");
  EXPECT(parse("\"architectures\": [\"AlbertForSomething\"]").head == Head::kBase, "an unknown ALBERT class");
  refuse(str("{", kDimensions, "}"), "model_type");
  refuse(str("{", kDimensions, ", \"architectures\": [\"BertModel\"]}"), "'BertModel'");
  refuse(str("{\"model_type\": \"bert\", ", kDimensions, "}"), "model_type is 'bert'");
}

TEST(config_counts_labels) {
  EXPECT(parse("\"num_labels\": 5").num_labels == 5, "");
  EXPECT(parse("\"_num_labels\": 4").num_labels == 4, "");
  EXPECT(parse("\"_num_labels\": 4, \"num_labels\": 5, \"id2label\": {\"0\": \"a\"}").num_labels == 1, "");
  EXPECT(parse("\"id2label\": {}").num_labels == 2, "");
  refuse_fields("\"id2label\": [\"a\"]", "id2label must map numbers to label names, found an array");
  refuse_fields("\"id2label\": {\"a\": \"b\"}", "id2label must have numbers as keys, found \"a\"");
  refuse_fields("\"id2label\": {\"0\": 1}", "id2label[\"0\"] must be a label name");
  refuse_fields("\"num_labels\": 0", "num_labels must be an integer from 1");
}

TEST(config_knows_what_labels_mean) {
  EXPECT(parse("\"num_labels\": 1").regresses() && !parse("\"num_labels\": 3").regresses(), "");
  EXPECT(parse("\"num_labels\": 3, \"problem_type\": \"regression\"").regresses(), "");
  EXPECT(!parse("\"num_labels\": 1, \"problem_type\": \"multi_label_classification\"").regresses(), "");
  EXPECT(parse("\"problem_type\": null").problem_type == ProblemType::kUnnamed, "");
  refuse_fields("\"problem_type\": \"ranking\"",
                "problem_type 'ranking' is not known; expected one of regression,");
}

TEST(config_knows_activations) {
  for (const char* tanh_form : {"gelu_new", "GELU_NEW", "gelu_pytorch_tanh", "gelu_fast"})
    EXPECT(parse(str("\"hidden_act\": \"", tanh_form, "\"")).hidden_act == Activation::kGeluNew, tanh_form);
  EXPECT(parse("\"hidden_act\": \"GeLU\"").hidden_act == Activation::kGelu, "");
  EXPECT(parse("\"hidden_act\": \"gelu_python\"").hidden_act == Activation::kGelu, "");
  EXPECT(parse("\"hidden_act\": \"swish\"").hidden_act == Activation::kSilu, "");
  EXPECT(parse("\"hidden_act\": \"linear\"").hidden_act == Activation::kIdentity, "");
  refuse_fields("\"hidden_act\": \"mish\"", "hidden_act 'mish' is not known; expected one of gelu,");
  refuse_fields("\"hidden_act\": 3", "hidden_act must be a string, found the number 3");
}

TEST(config_refuses_wrong_fields) {
  refuse("[]", "expected a JSON object");
  refuse("{", "not valid JSON");
  for (const char* key : {"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"}) {
    refuse_fields(str("\"", key, "\": null"), str(key, " is missing"));
    refuse_fields(str("\"", key, "\": 0"), str(key, " must be an integer from 1"));
  }
  refuse_fields("\"hidden_size\": \"48\"",
                "hidden_size must be an integer from 1 to 65536, found the string \"48\"");
  refuse_fields("\"hidden_size\": 48.5", "found the number 48.5");
  refuse_fields("\"hidden_size\": 1e30", "hidden_size must be an integer");
  refuse_fields("\"num_attention_heads\": 5", "hidden_size 48 must be a multiple of num_attention_heads 5");
  refuse_fields("\"num_hidden_groups\": 0", "num_hidden_groups must be an integer from 1");
  refuse_fields("\"num_hidden_groups\": 1000, \"inner_group_num\": 1000", "at most 4096, found 1000 * 1000");
  refuse_fields("\"vocab_size\": 4294967296", "vocab_size must be an integer");
  refuse_fields("\"pad_token_id\": 30000", "pad_token_id must be an integer from 0 to 29999");
  refuse_fields("\"hidden_dropout_prob\": 1", "hidden_dropout_prob must be a number from 0 to below 1");
  refuse_fields("\"classifier_dropout_prob\": \"x\"", "classifier_dropout_prob must be a number");
  refuse_fields("\"layer_norm_eps\": 0", "layer_norm_eps must be a number above 0");
  refuse_fields("\"layer_norm_eps\": 1e300", "layer_norm_eps must be a number above 0");
  refuse_fields("\"position_embedding_type\": \"relative_key\"", "position_embedding_type 'relative_key'");
  refuse_fields("\"pruned_heads\": {\"0\": [1]}", "pruned_heads");
  refuse_fields("\"architectures\": \"AlbertModel\"", "architectures must be an array");
  refuse_fields("\"architectures\": [1]", "architectures must hold class names");
}

TEST(config_maps_layers_to_groups) {
  Config config = parse("\"num_hidden_layers\": 12, \"num_hidden_groups\": 8");
  const int expected[] = {0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 6, 7};
  for (int layer = 0; layer < 12; ++layer) EXPECT(config.group_of_layer(layer) == expected[layer], layer);
  Config most = parse("\"num_hidden_layers\": 1024, \"num_hidden_groups\": 1024");
  EXPECT(most.group_of_layer(1023) == 1023, most.group_of_layer(1023));
}

TEST(config_shares_parameters) {
  const auto sharing = [](const char* fields) { return parse(str("\"parameter_sharing\": ", fields)); };
  EXPECT(sharing("\"all\"").num_hidden_groups == 1, "");
  EXPECT(sharing("\"none\"").num_hidden_groups == 6, "");
  EXPECT(sharing("null, \"num_hidden_groups\": 4").num_hidden_groups == 4, "");
  for (const char* given :
       {"\"none\"", "\"none\", \"num_hidden_groups\": 6", "null, \"num_hidden_groups\": 4"}) {
    const Config config = sharing(given);
    EXPECT(config.attention_groups() == config.num_hidden_groups, given);
    EXPECT(config.feed_forward_groups() == config.num_hidden_groups, given);
    for (int32_t layer = 0; layer < 6; ++layer) {
      EXPECT(config.attention_group(layer) == config.group_of_layer(layer), given);
      EXPECT(config.feed_forward_group(layer) == config.group_of_layer(layer), given);
    }
  }
  const Config attention = sharing("\"attention\""), feed_forward = sharing("\"feed_forward\"");
  EXPECT(attention.num_hidden_groups == 6 && feed_forward.num_hidden_groups == 6, "");
  EXPECT(attention.attention_groups() == 1 && attention.feed_forward_groups() == 6, "");
  EXPECT(feed_forward.attention_groups() == 6 && feed_forward.feed_forward_groups() == 1, "");
  for (int32_t layer = 0; layer < 6; ++layer) {
    EXPECT(attention.attention_group(layer) == 0 && attention.feed_forward_group(layer) == layer, layer);
    EXPECT(feed_forward.attention_group(layer) == layer && feed_forward.feed_forward_group(layer) == 0,
           layer);
  }
  refuse_fields("\"parameter_sharing\": \"ffn\"",
                "parameter_sharing 'ffn' is not known; expected one of all, attention, feed_forward, none");
  refuse_fields("\"parameter_sharing\": 1", "parameter_sharing must be a string");
  refuse_fields("\"parameter_sharing\": \"all\", \"num_hidden_groups\": 2",
                "'all' of 6 layers means num_hidden_groups 1, found 2");
  for (const char* name : {"attention", "feed_forward", "none"})
    refuse_fields(str("\"parameter_sharing\": \"", name, "\", \"num_hidden_groups\": 1"),
                  str("'", name, "' of 6 layers means num_hidden_groups 6, found 1"));
}

TEST(config_spells_heads) {
  for (const char* name : {"base", "pretraining", "masked-lm", "sequence-classification",
                           "token-classification", "question-answering", "multiple-choice"})
    EXPECT(to_string(head_from_string(name)) == std::string(name), name);
  const std::string message =
      test::refusal([] { head_from_string("masked_lm"); }, ErrorCode::kInvalidArgument);
  EXPECT(message.find("'masked_lm' is not known; expected one of base, pretraining, masked-lm") !=
             std::string::npos,
         message);
}

}  // namespace albert
