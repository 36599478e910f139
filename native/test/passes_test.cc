// Passes that a device records and replays: the same bits as a pass that was never recorded, whatever was run
// between.
#include <cstring>
#include <random>

#include "albert/model.h"
#include "backends.h"
#include "test.h"

namespace albert::test {
namespace {

constexpr const char* kConfig =
    R"({"model_type": "albert", "architectures": ["AlbertModel"], "vocab_size": 500, "embedding_size": 16,
        "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128,
        "max_position_embeddings": 96})";

ForwardRequest request_of(std::vector<int32_t> lengths, bool pooled) {
  ForwardRequest request;
  request.batch.lengths = std::move(lengths);
  for (int32_t length : request.batch.lengths)
    for (int32_t i = 0; i < length; ++i)
      request.batch.ids.push_back(static_cast<int32_t>(random_engine()() % 500));
  request.wanted.last_hidden_state = !pooled;
  request.wanted.pooler_output = pooled;
  return request;
}

}  // namespace

// Several batches of the same sizes in turn, with other tokens and other lengths of the same sum: as they
// are, recorded, and replayed.
TEST(recorded_passes_change_nothing) {
  for (const std::string& device : devices())
    for (const char* dtype : {"fp32", "bf16"}) {
      ModelOptions options;
      options.device = device;
      options.dtype = dtype;
      const std::shared_ptr<Model> model = Model::create(kConfig, 7, options);
      for (int round = 0; round < 4; ++round)
        for (const std::vector<int32_t>& lengths :
             {std::vector<int32_t>{17}, {40, 9, 1}, {30, 12, 8}, {90, 90, 70 + round}})
          for (bool pooled : {false, true}) {
            const ForwardRequest request = request_of(lengths, pooled);
            const ForwardResult result = std::move(model->forward({&request})[0]);
            const ForwardResult first = std::move(Model::create(kConfig, 7, options)->forward({&request})[0]);
            EXPECT(result.size() == first.size(), dtype, " on ", device);
            for (size_t i = 0; i < result.size(); ++i)
              EXPECT(!std::memcmp(result[i].data.get(), first[i].data.get(),
                                  static_cast<size_t>(result[i].count()) * sizeof(float)),
                     result[i].name, " of round ", round, ", ", lengths.size(), " sequences, ", dtype, " on ",
                     device);
          }
    }
}

}  // namespace albert::test
