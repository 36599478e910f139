// Fuzzes instances in TFRecord files: the input is a record's content, framed with checksums that fit.
#include <cstring>

#include "support/crc32c.h"
#include "support/file_map.h"
#include "train/tfrecord.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace albert;
  std::vector<uint8_t> bytes(12 + size + 4);
  const uint64_t length = size;
  std::memcpy(bytes.data(), &length, sizeof length);
  const uint32_t of_length = masked_crc32c(bytes.data(), 8), of_data = masked_crc32c(data, size);
  std::memcpy(bytes.data() + 8, &of_length, sizeof of_length);
  if (size > 0) std::memcpy(bytes.data() + 12, data, size);
  std::memcpy(bytes.data() + 12 + size, &of_data, sizeof of_data);
  try {
    tfrecord_source({FileMap::from_bytes(std::move(bytes), "fuzz")}, 50)->make(0, 0);
  } catch (const Error&) {
  }
  return 0;
}
