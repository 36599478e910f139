// The names under which checkpoints of other times and frameworks hold a parameter.
#include "albert/checkpoint.h"

#include "test.h"

namespace albert {

TEST(checkpoint_names_are_mapped) {
  const char* const cases[][2] = {
      {"albert.embeddings.LayerNorm.gamma", "embeddings.LayerNorm.weight"},
      {"module.albert.embeddings.LayerNorm.beta", "embeddings.LayerNorm.bias"},
      {"model.module._orig_mod.albert.pooler.weight", "pooler.weight"},
      {"0.auto_model.encoder.embedding_hidden_mapping_in.weight",
       "encoder.embedding_hidden_mapping_in.weight"},
      {"bert.encoder.transformer.group.1.inner_group.2.attention.self.query.weight",
       "encoder.albert_layer_groups.1.albert_layers.2.attention.query.weight"},
      {"bert.encoder.transformer.group.0.inner_group.0.attention.output.dense.bias",
       "encoder.albert_layer_groups.0.albert_layers.0.attention.dense.bias"},
      {"bert.encoder.transformer.group.0.inner_group.0.ffn.intermediate.dense.weight",
       "encoder.albert_layer_groups.0.albert_layers.0.ffn.weight"},
      {"bert.encoder.transformer.group.10.inner_group.0.ffn.intermediate.output.dense.weight",
       "encoder.albert_layer_groups.10.albert_layers.0.ffn_output.weight"},
      {"bert.encoder.transformer.group.0.inner_group.0.LayerNorm.gamma",
       "encoder.albert_layer_groups.0.albert_layers.0.attention.LayerNorm.weight"},
      {"bert.encoder.transformer.group.0.inner_group.0.LayerNorm_1.bias",
       "encoder.albert_layer_groups.0.albert_layers.0.full_layer_layer_norm.bias"},
      {"bert.pooler.dense.weight", "pooler.weight"},
      {"cls.predictions.transform.dense.weight", "predictions.dense.weight"},
      {"cls.predictions.decoder.weight", "predictions.decoder.weight"},
      {"cls.seq_relationship.bias", "sop_classifier.classifier.bias"},
      {"encoder.transformer.group.x.inner_group.0.ffn", "encoder.transformer.group.x.inner_group.0.ffn"},
      {"classifier.weight", "classifier.weight"},
      {"", ""},
  };
  for (const auto& c : cases) EXPECT(canonical_name(c[0]) == c[1], c[0], " -> ", canonical_name(c[0]));
}

}  // namespace albert
