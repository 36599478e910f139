// Records of pre-training instances: read, and refused where a list of numbers ends within one.
#include "train/tfrecord.h"

#include "support/crc32c.h"
#include "test.h"

namespace albert {
namespace {

std::string field(int number, const std::string& bytes) {
  return static_cast<char>(number << 3 | 2) + std::string(1, static_cast<char>(bytes.size())) + bytes;
}
std::string feature(const char* key, int kind, const std::string& packed) {
  return field(1, field(1, key) + field(2, field(kind, field(1, packed))));
}

// A file of one record: two tokens and one of padding, the second of them masked.
std::shared_ptr<const FileMap> file_of(const std::string& ids,
                                       const std::string& weights = std::string("\0\0\x80\x3f", 4),
                                       const std::string& mask = {1, 1, 0}) {
  const std::string features = feature("input_ids", 3, ids) + feature("input_mask", 3, mask) +
                               feature("segment_ids", 3, {0, 1, 0}) + feature("masked_lm_positions", 3, {1}) +
                               feature("masked_lm_ids", 3, {7}) + feature("masked_lm_weights", 2, weights) +
                               feature("next_sentence_labels", 3, {1});
  std::string example = "\x0a";
  example += static_cast<char>((features.size() & 0x7f) | 0x80);
  example += static_cast<char>(features.size() >> 7);
  example += features;
  std::vector<uint8_t> bytes;
  const auto append = [&](const void* data, size_t size) {
    const auto* from = static_cast<const uint8_t*>(data);
    bytes.insert(bytes.end(), from, from + size);
    return masked_crc32c(from, size);
  };
  const uint64_t size = example.size();
  uint32_t checksum = append(&size, sizeof size);
  append(&checksum, sizeof checksum);
  checksum = append(example.data(), example.size());
  append(&checksum, sizeof checksum);
  return FileMap::from_bytes(std::move(bytes), "records");
}

}  // namespace

TEST(tfrecord_numbers_are_read_to_their_last_byte) {
  const Instance instance = tfrecord_source({file_of({5, 6, 0})}, 10)->make(0, 0);
  EXPECT((instance.ids == std::vector<int32_t>{5, 6}) && instance.sop_label == 1);
  EXPECT((instance.labels == std::vector<int32_t>{kIgnoredLabel, 7}));
  for (const auto& file : {file_of({5, 6, 0, '\x80'}), file_of({5, 6, 0}, std::string("\0\0\x80\x3f\0", 5))})
    EXPECT(test::refuses([&] { tfrecord_source({file}, 10)->make(0, 0); }, ErrorCode::kData),
           "a list that ends within a number");
}

TEST(tfrecords_of_padding_alone_are_refused) {
  const auto source = tfrecord_source({file_of({5, 6, 0}, std::string(4, 0), {0, 0, 0})}, 10);
  EXPECT(test::refuses([&] { source->make(0, 0); }, ErrorCode::kData));
}

}  // namespace albert
