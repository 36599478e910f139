// The engine: concurrent requests merged without changing a bit, cancellation, closing, and a loop free of
// allocation.
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <future>
#include <new>
#include <random>

#include "albert/encoder.h"
#include "albert/engine.h"
#include "support/error.h"
#include "test.h"

namespace {
std::atomic<int64_t> allocations{0};
}  // namespace

// Counts every allocation of this program, so that a test can show that a stretch of code makes none.
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(bytes ? bytes : 1);
}
void* operator new(size_t bytes) {
  if (void* memory = operator new(bytes, std::nothrow)) return memory;
  throw std::bad_alloc();
}
// Not inlined: beside a call of `new`, a compiler would see memory freed in a way that does not fit.
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace albert::test {
namespace {

constexpr const char* kConfig =
    R"({"model_type": "albert", "architectures": ["AlbertModel"], "vocab_size": 500,
  "embedding_size": 16, "hidden_size": 64, "num_hidden_layers": 6, "num_attention_heads": 4, "intermediate_size": 128,
  "max_position_embeddings": 96})";

std::shared_ptr<Model> small_model(int threads) {
  ModelOptions options;
  options.threads = threads;
  return Model::create(kConfig, 7, options);
}

ForwardRequest random_request(std::mt19937& engine) {
  ForwardRequest request;
  for (size_t s = 0, count = 1 + engine() % 5; s < count; ++s) {
    const int32_t length = 1 + static_cast<int32_t>(engine() % 90);
    request.batch.lengths.push_back(length);
    for (int32_t i = 0; i < length; ++i) request.batch.ids.push_back(static_cast<int32_t>(engine() % 500));
  }
  request.wanted.last_hidden_state = engine() % 2;
  request.wanted.pooler_output = !request.wanted.last_hidden_state || engine() % 2;
  return request;
}

std::future<ForwardResult> submit(Engine& engine, const ForwardRequest& request) {
  auto promise = std::make_shared<std::promise<ForwardResult>>();
  ForwardRequest copy = request;
  engine.submit(std::move(copy), [promise](ForwardResult result, std::exception_ptr error) {
    if (error)
      promise->set_exception(error);
    else
      promise->set_value(std::move(result));
  });
  return promise->get_future();
}

}  // namespace

TEST(engine_merges_without_changing_bits) {
  std::mt19937 random(std::random_device{}());
  const std::shared_ptr<Model> reference = small_model(1);
  Engine engine(small_model(2));
  std::vector<ForwardRequest> requests;
  std::vector<std::future<ForwardResult>> futures;
  for (int i = 0; i < 60; ++i) requests.push_back(random_request(random));
  for (const ForwardRequest& request : requests) futures.push_back(submit(engine, request));
  for (size_t i = 0; i < requests.size(); ++i) {
    const ForwardResult merged = futures[i].get(), alone = std::move(reference->forward({&requests[i]})[0]);
    EXPECT(merged.size() == alone.size(), "request ", i);
    for (size_t j = 0; j < alone.size(); ++j)
      EXPECT(merged[j].dims == alone[j].dims &&
                 !std::memcmp(merged[j].data.get(), alone[j].data.get(),
                              static_cast<size_t>(alone[j].count()) * sizeof(float)),
             "request ", i, " ", alone[j].name);
  }
}

// From the callback of a first request, so that all the others wait together.
TEST(small_requests_and_large_ones_take_turns) {
  Engine engine(small_model(1));
  const auto request = [](int32_t sequences, int32_t length) {
    ForwardRequest made;
    made.batch.lengths.assign(static_cast<size_t>(sequences), length);
    made.batch.ids.assign(static_cast<size_t>(sequences * length), 3);
    made.wanted.pooler_output = true;
    return made;
  };
  std::string order;
  std::promise<void> all;
  const auto submit_as = [&](char name, ForwardRequest made) {
    engine.submit(std::move(made), [&, name](ForwardResult, std::exception_ptr) {
      order += name;
      if (order.size() == 11) all.set_value();
    });
  };
  engine.submit(request(1, 1), [&](ForwardResult, std::exception_ptr) {
    for (int i = 0; i < 3; ++i) submit_as('L', request(12, 80));
    for (int i = 0; i < 7; ++i) submit_as('s', request(1, 90));
    submit_as('l', request(2, 65));  // as large as a large one must be
  });
  all.get_future().wait();
  // 1,024 tokens a batch: two small ones of 90 before a large one of 960, and none beside it.
  EXPECT(order == "ssLssLssLsl", order);
}

// As training does it: the backend has one computation at a time.
TEST(weights_are_replaced_between_forwards) {
  std::mt19937 random(1);
  const std::shared_ptr<Model> model = small_model(2);
  Engine engine(model);
  const ForwardRequest request = random_request(random);
  const ForwardResult alone = std::move(model->forward({&request})[0]);
  for (int round = 0; round < 10; ++round) {
    std::vector<std::future<ForwardResult>> futures;
    for (int i = 0; i < 20; ++i) futures.push_back(submit(engine, request));
    model->replace_weights(Weights::create(model->config(), model->head(), 7));
    for (std::future<ForwardResult>& future : futures) {
      const ForwardResult result = future.get();
      EXPECT(!std::memcmp(result[0].data.get(), alone[0].data.get(),
                          static_cast<size_t>(alone[0].count()) * sizeof(float)),
             "round ", round);
    }
  }
}

TEST(memory_of_a_model_counts_what_batches_grow) {
  const std::shared_ptr<Model> model = small_model(1);
  ForwardRequest request;
  request.wanted.last_hidden_state = true;
  request.batch = {std::vector<int32_t>(4, 1), {}, {}, {4}, 0};
  const size_t packed = model->memory_bytes();
  model->forward({&request});
  const size_t small = model->memory_bytes();
  request.batch = {std::vector<int32_t>(9600, 1), {}, {}, std::vector<int32_t>(100, 96), 0};
  std::atomic<uint8_t> cancelled{1};
  request.cancelled = &cancelled;
  model->forward({&request});
  const size_t large = model->memory_bytes();
  EXPECT(packed > 0 && small > packed, packed, " ", small);
  EXPECT(large >= small + 9600 * 64 * sizeof(float), "of a pass that was abandoned: ", large);
  request.batch = {std::vector<int32_t>(4, 1), {}, {}, {4}, 0};
  request.cancelled = nullptr;
  model->forward({&request});
  EXPECT(model->memory_bytes() == large, model->memory_bytes());
}

TEST(a_batch_without_a_real_token_gives_zeros) {
  ForwardRequest request;
  request.batch.ids = {1, 2, 3};
  request.batch.lengths = {3};
  request.batch.mask = {0, 0, 0};
  request.wanted.last_hidden_state = true;
  const std::vector<ForwardResult> results = small_model(1)->forward({&request});
  EXPECT(results[0].size() == 1, "as if the request had been cancelled");
  for (int64_t i = 0; i < results[0][0].count(); ++i) EXPECT(results[0][0].data[i] == 0, "value ", i);
}

TEST(engine_cancels_closes_and_refuses) {
  std::mt19937 random(1);
  Engine engine(small_model(1));
  std::atomic<uint8_t> cancelled{1};
  ForwardRequest request = random_request(random);
  request.cancelled = &cancelled;
  std::future<ForwardResult> aborted = submit(engine, request);
  EXPECT(refuses([&] { aborted.get(); }, ErrorCode::kAborted), "a cancelled request");
  request.cancelled = nullptr;
  std::future<ForwardResult> queued = submit(engine, request);
  engine.close();
  EXPECT(!queued.get().empty(), "what was queued before close is answered");
  engine.close();
  EXPECT(refuses([&] { submit(engine, request); }, ErrorCode::kDisposed), "a closed engine took a request");
}

TEST(requests_are_checked_before_they_run) {
  const std::shared_ptr<Model> model = small_model(1);
  const auto code = [&](const auto& spoil) {
    ForwardRequest request;
    request.batch.ids = {1, 2, 3};
    request.batch.lengths = {3};
    request.wanted.last_hidden_state = true;
    model->validate(request);
    spoil(request);
    try {
      model->validate(request);
    } catch (const Error& error) {
      return std::string(to_string(error.code()));
    }
    return std::string("none");
  };
  EXPECT(code([](ForwardRequest& r) { r.batch.ids[1] = 500; }) == "OUT_OF_VOCABULARY");
  EXPECT(code([](ForwardRequest& r) { r.batch.ids[1] = -1; }) == "OUT_OF_VOCABULARY");
  EXPECT(code([](ForwardRequest& r) { r.batch.types = {0, 2, 0}; }) == "INVALID_ARGUMENT");
  EXPECT(code([](ForwardRequest& r) { r.batch.types = {0}; }) == "INVALID_ARGUMENT");
  EXPECT(code([](ForwardRequest& r) { r.batch.mask = {1}; }) == "INVALID_ARGUMENT");
  EXPECT(code([](ForwardRequest& r) { r.batch.lengths = {3, 0}; }) == "INVALID_ARGUMENT");
  EXPECT(code([](ForwardRequest& r) { r.batch.lengths = {}; }) == "INVALID_ARGUMENT");
  EXPECT(code([](ForwardRequest& r) { r.batch.lengths = {2}; }) == "INVALID_ARGUMENT");
  EXPECT(code([](ForwardRequest& r) { r.wanted.logits = true; }) == "INVALID_ARGUMENT");
  EXPECT(code([](ForwardRequest& r) { r.wanted = {}; }) == "INVALID_ARGUMENT");
  EXPECT(code([](ForwardRequest& r) { r.logits_rows = {0, 0}; }) == "INVALID_ARGUMENT");
  EXPECT(code([](ForwardRequest& r) {
           r.batch.ids.assign(97, 1);
           r.batch.lengths = {97};
         }) == "TOO_LONG");
}

// Masked positions of a pooled sequence: position 0 attends without being attended to, an empty mask gives
// zeros.
TEST(attentions_beyond_any_memory_are_refused) {
  // 2^12 blocks of 2^10 heads and 4 sequences of 2^20 rows and keys: 2^64 probabilities, which 64 bits count
  // as none.
  constexpr const char* kMany =
      R"({"model_type": "albert", "architectures": ["AlbertModel"], "vocab_size": 2, "embedding_size": 1,
  "hidden_size": 1024, "num_hidden_layers": 1024, "inner_group_num": 4, "num_attention_heads": 1024,
  "intermediate_size": 1, "max_position_embeddings": 1048576})";
  const std::shared_ptr<Model> model = Model::create(kMany, 7, {});
  ForwardRequest request;
  request.batch.lengths.assign(4, 1 << 20);
  request.batch.ids.assign(4 << 20, 1);
  request.wanted.attentions = true;
  // Activations would find no memory either.
  const std::string message = refusal([&] { model->forward({&request}); }, ErrorCode::kOutOfMemory);
  EXPECT(message.find("attentions has the dimensions [1024, 4, 1024, 4398046511104]") != std::string::npos,
         message);
}

TEST(masks_remove_keys_completely) {
  const std::shared_ptr<Model> model = small_model(2);
  ForwardRequest request;
  request.batch.ids = {9, 8, 7, 6, 9, 8, 7, 6, 9, 8, 7, 6};
  request.batch.mask = {0, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1};
  request.batch.lengths = {4, 4, 4};
  request.wanted.last_hidden_state = request.wanted.pooler_output = true;
  const ForwardResult before = std::move(model->forward({&request})[0]);
  for (size_t i : {3, 4, 5, 6, 7}) request.batch.ids[i] = 499;
  const ForwardResult after = std::move(model->forward({&request})[0]);
  for (size_t i = 0; i < 2; ++i)
    EXPECT(!std::memcmp(before[i].data.get(), after[i].data.get(),
                        static_cast<size_t>(before[i].count()) * sizeof(float)),
           "a masked token changed ", before[i].name);
  const auto all_zero = [](const float* values, size_t count) {
    for (size_t i = 0; i < count; ++i)
      if (values[i] != 0) return false;
    return true;
  };
  EXPECT(all_zero(before[0].data.get() + 4 * 64, 4 * 64), "rows of a fully masked sequence");
  EXPECT(all_zero(before[1].data.get() + 64, 64), "the pooled output of a fully masked sequence");
  EXPECT(!all_zero(before[1].data.get(), 64), "the pooled output where only position 0 is masked");
}

// The first block's query, key and value come straight from the embeddings; they must be what the map and the
// block's own weights give one after the other.
TEST(folded_first_product_equals_the_two_it_stands_for) {
  const Config config = Config::parse(kConfig, "config");
  const std::unique_ptr<Weights> weights = Weights::create(config, Head::kBase, 5);
  SequenceBatch sequences;
  for (int32_t length : {40, 3, 70}) {
    sequences.lengths.push_back(length);
    for (int32_t i = 0; i < length; ++i) sequences.ids.push_back(i * 7 % 96);
  }
  const std::vector<int32_t> no_pairs;
  const PackedBatch batch({{&sequences, &no_pairs, false, true}});
  const auto never = [] { return false; };
  for (auto [precision, tolerance] : {std::pair{Precision::kFp32, 2e-6}, {Precision::kBf16, 1e-2}}) {
    const std::unique_ptr<Backend> backend = make_cpu_backend("", 2);
    backend->reserve({precision, 128, 96, 16});
    EncoderWeights encoder(config, *weights, precision, nullptr, *backend);
    EXPECT(encoder.first_qkv != nullptr, "nothing was folded");
    Workspace folded_memory(*backend), plain_memory(*backend);
    const float* folded = encoder_forward(*backend, config, encoder, batch, folded_memory, {}, never);
    encoder.first_qkv.reset();
    const float* plain = encoder_forward(*backend, config, encoder, batch, plain_memory, {}, never);
    double error = 0;
    for (int64_t row = 0; row < batch.rows(); ++row)
      for (int64_t h = 0; h < config.hidden_size; ++h) {
        const int64_t at = row * row_stride(config.hidden_size) + h;
        error = std::max(error, static_cast<double>(std::fabs(folded[at] - plain[at])));
      }
    EXPECT(error <= tolerance, "difference ", error);
    EXPECT(error > 0, "both took the same way");
  }
}

// A model that shares half a block must compute what a model computes that shares nothing and has copies of
// that half, from fewer packed weights.
TEST(encoder_shares_half_a_block) {
  const std::string folder = temporary("sharing");
  ForwardRequest request;
  request.batch.lengths = {40, 3};
  for (int32_t i = 0; i < 43; ++i) request.batch.ids.push_back(i * 7 % 500);
  request.wanted.last_hidden_state = true;
  for (const char* sharing : {"attention", "feed_forward"}) {
    std::string json = kConfig;
    json.insert(1, str("\"parameter_sharing\": \"", sharing, "\", "));
    std::string copies = kConfig;
    copies.insert(1, "\"num_hidden_groups\": 6, ");
    for (const char* dtype : {"fp32", "bf16", "int8"}) {
      ModelOptions options;
      options.dtype = dtype;
      options.threads = 2;
      const std::shared_ptr<Model> shared = Model::create(json, 4, options);
      shared->weights()->save(folder);
      const std::shared_ptr<Model> whole = Model::load(copies, "config", folder, options);
      EXPECT(shared->memory_bytes() < whole->memory_bytes() * 3 / 4, shared->memory_bytes());
      const ForwardResult a = std::move(shared->forward({&request})[0]);
      const ForwardResult b = std::move(whole->forward({&request})[0]);
      const size_t bytes = static_cast<size_t>(a[0].count()) * sizeof(float);
      EXPECT(!std::memcmp(a[0].data.get(), b[0].data.get(), bytes), sharing, " ", dtype);
    }
  }
  std::filesystem::remove(folder);
}

// Rows from several norms, each wide in columns of its own, meet one packed int8 matrix, which must keep
// close to fp32: on average, as the error of one model is that of a few rows.
TEST(encoder_in_int8_takes_rows_of_several_norms) {
  constexpr uint64_t kModels = 8;
  for (const char* sharing : {"attention", "feed_forward"}) {
    std::string json = kConfig;
    json.insert(1, str("\"parameter_sharing\": \"", sharing, "\", "));
    const Config config = Config::parse(json, "config");
    SequenceBatch sequences;
    sequences.lengths.push_back(60);
    for (int32_t i = 0; i < 60; ++i) sequences.ids.push_back(i * 7 % 500);
    const std::vector<int32_t> no_pairs;
    const PackedBatch batch({{&sequences, &no_pairs, false, true}});
    double mean = 0;
    for (uint64_t seed = 0; seed < kModels; ++seed) {
      const std::unique_ptr<Weights> weights = Weights::create(config, Head::kBase, seed);
      for (int32_t group = 0; group < config.num_hidden_groups; ++group)
        for (const char* norm : {"attention.LayerNorm", "full_layer_layer_norm"}) {
          // Fresh weights are memory of the table's own.
          float* gain = const_cast<float*>(weights->data(
              str("encoder.albert_layer_groups.", group, ".albert_layers.0.", norm, ".weight")));
          gain[7 * group] = gain[7 * group + 3] = 60;
        }
      const auto run = [&](Precision precision) {
        const std::unique_ptr<Backend> backend = make_cpu_backend("", 2);
        backend->reserve({precision, 128, 96, 16});
        const EncoderWeights encoder(config, *weights, precision, nullptr, *backend);
        Workspace workspace(*backend);
        const float* result =
            encoder_forward(*backend, config, encoder, batch, workspace, {}, [] { return false; });
        return std::vector<float>(result, result + batch.rows() * row_stride(config.hidden_size));
      };
      const std::vector<float> exact = run(Precision::kFp32), rough = run(Precision::kInt8);
      double error = 0, size = 0;
      for (int64_t row = 0; row < batch.rows(); ++row)
        for (int64_t h = 0; h < config.hidden_size; ++h) {
          const int64_t at = row * row_stride(config.hidden_size) + h;
          error += std::pow(rough[at] - exact[at], 2), size += std::pow(exact[at], 2);
        }
      mean += std::sqrt(error / size) / kModels;
    }
    EXPECT(mean < 0.06, sharing, ": mean relative error ", mean);
  }
}

TEST(encoder_loop_does_not_allocate) {
  const Config config = Config::parse(kConfig, "config");
  const std::unique_ptr<Weights> weights = Weights::create(config, Head::kBase, 3);
  const std::unique_ptr<Backend> backend = make_cpu_backend("", 2);
  backend->reserve({Precision::kFp32, 128, 96, 16});
  const EncoderWeights encoder(config, *weights, Precision::kFp32, nullptr, *backend);
  Workspace workspace(*backend);
  SequenceBatch sequences;
  for (int32_t length : {90, 5, 17}) {
    sequences.lengths.push_back(length);
    for (int32_t i = 0; i < length; ++i) sequences.ids.push_back(i);
  }
  const std::vector<int32_t> no_pairs;
  const PackedBatch batch({{&sequences, &no_pairs, true, false}});
  // The loop polls `cancelled` once a layer: what was allocated between the first and the last poll is the
  // loop's own.
  int64_t first = -1, last = 0, polls = 0;
  const std::function<bool()> poll = [&] {
    if (first < 0) first = allocations;
    last = allocations;
    ++polls;
    return false;
  };
  EXPECT(encoder_forward(*backend, config, encoder, batch, workspace, {}, poll) != nullptr);
  EXPECT(polls >= 6, "the loop was not polled");
  EXPECT(last == first, last - first, " allocations in the loop");
}

}  // namespace albert::test
