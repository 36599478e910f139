// Shards of tokens: written, read, damaged in every way; batches: deterministic, resumable, split.
#include "train/corpus.h"

#include <cstdio>
#include <fstream>

#include "test.h"
#include "train/batches.h"

namespace albert {
namespace {

void write(const std::string& path, int documents) {
  std::vector<int32_t> tokens, lengths, segments;
  for (int d = 0; d < documents; ++d) {
    segments.push_back(3 + d % 4);
    for (int s = 0; s < segments.back(); ++s) {
      lengths.push_back(4 + s);
      for (int t = 0; t < lengths.back(); ++t) tokens.push_back(10 + (d * 7 + s * 3 + t) % 80);
    }
  }
  write_shard(path, tokens, lengths, segments);
}

std::unique_ptr<InstanceSource> open(const std::string& path, const Split& split = {}) {
  ObjectiveOptions options;
  options.max_length = 24;
  return corpus_source(std::make_shared<const Corpus>(FileMap::open_all({path}, ErrorCode::kData)),
                       {std::vector<uint8_t>(100, 1), 2, 3, 4}, options, 11, split);
}

std::vector<int32_t> flat(const PretrainingBatch& batch) {
  std::vector<int32_t> all;
  for (const Instance& instance : batch.instances) {
    all.insert(all.end(), instance.ids.begin(), instance.ids.end());
    all.insert(all.end(), instance.labels.begin(), instance.labels.end());
    all.push_back(instance.sop_label);
  }
  return all;
}

}  // namespace

TEST(corpus_shards_come_back_as_written) {
  const std::string path = test::temporary("whole");
  write_shard(path, {1, 2, 3, 4, 5}, {2, 3}, {1, 0, 1});
  const Corpus corpus(FileMap::open_all({path, path}, ErrorCode::kData));
  EXPECT(corpus.documents() == 6, "");
  std::vector<int32_t> tokens;
  corpus.append_tokens(5, 0, 1, 10, &tokens);
  EXPECT((tokens == std::vector<int32_t>{3, 4, 5}), "");
  EXPECT(test::refuses([&] { corpus.append_tokens(0, 0, 1, 2, &tokens); }, ErrorCode::kData), "");
  std::remove(path.c_str());
}

TEST(corpus_shards_of_wrong_lengths_are_refused) {
  const std::string path = test::temporary("lengths");
  const auto refuses = [&](const std::vector<int32_t>& lengths, const std::vector<int32_t>& segments) {
    return test::refuses(
        [&] {
          write_shard(path, {1, 2, 3}, lengths, segments);
        },
        ErrorCode::kInvalidArgument);
  };
  EXPECT(refuses({3, -1}, {2}), "a negative length");
  EXPECT(refuses({3}, {1, -1}), "a negative number of segments");
  EXPECT(refuses({2}, {1}), "a token too many");
  EXPECT(refuses({3}, {2}), "a segment too few");
}

// Every truncation and every changed byte of the index gives an error or other tokens, never a crash.
TEST(corpus_damaged_shards_are_refused) {
  const std::string path = test::temporary("damaged");
  write(path, 3);
  std::ifstream in(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  const auto store = [&](const std::string& content) {
    std::ofstream(path, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
  };
  const auto use = [&] {
    std::unique_ptr<InstanceSource> source = open(path);
    make_batch(*source, 1, {}, 20, 1, true);
  };
  for (size_t size = 0; size < bytes.size(); ++size) {
    store(bytes.substr(0, size));
    EXPECT(test::refuses(use, ErrorCode::kData), size);
  }
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ 0x84);
    store(changed);
    try {
      use();
    } catch (const Error& error) {
      EXPECT(error.code() == ErrorCode::kData, error.what());
    }
  }
  std::remove(path.c_str());
}

TEST(batches_are_a_function_of_seed_and_cursor) {
  const std::string path = test::temporary("cursor");
  write(path, 50);
  const auto source = open(path), again = open(path);
  const PretrainingBatch first = make_batch(*source, 11, {}, 40, 0, true);
  const PretrainingBatch second = make_batch(*source, 11, first.next, 200, 0, true);
  EXPECT(second.next.epoch >= 1, second.next.epoch);
  EXPECT(flat(make_batch(*again, 11, first.next, 200, 0, true)) == flat(second), "resumed elsewhere");
  EXPECT(flat(make_batch(*source, 11, {}, 40, 0, true)) == flat(first), "asked again after another epoch");
  EXPECT(flat(make_batch(*source, 12, {}, 40, 0, true)) != flat(first), "another order");
  EXPECT(flat(make_batch(*source, 11, {1, 0}, 40, 0, true)) != flat(first), "another epoch");
  const auto rest = make_batch(*source, 11, {}, 100000, 2, true);
  EXPECT(rest.instances.size() == source->size(0) + source->size(1), "epochs end");
  std::remove(path.c_str());
}

TEST(batches_of_the_held_out_share_are_fixed) {
  const std::string path = test::temporary("split");
  write(path, 200);
  const auto train = open(path, {0.2, false}), evaluation = open(path, {0.2, true});
  EXPECT(evaluation->size(0) > 20 && evaluation->size(0) < train->size(0) / 2, evaluation->size(0));
  EXPECT(flat(make_batch(*evaluation, 11, {0, 0}, 20, 0, false)) ==
             flat(make_batch(*evaluation, 11, {5, 0}, 20, 0, false)),
         "");
  EXPECT(test::refuses([&] { open(path, {0, true}); }, ErrorCode::kData), "nothing is held out");
  std::remove(path.c_str());
}

}  // namespace albert
