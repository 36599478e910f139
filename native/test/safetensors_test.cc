// Safetensors and half precision: round trip, every forbidden header, every truncation.
#include "support/safetensors.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <locale>

#if !defined(_WIN32)
#include <sys/resource.h>

#include <csignal>
#endif

#include "support/half.h"
#include "test.h"

namespace albert {
namespace {

TensorFile read(const std::string& header, const std::string& data) {
  uint64_t length = header.size();
  std::string text(reinterpret_cast<const char*>(&length), 8);
  text += header + data;
  return read_safetensors(FileMap::from_bytes({text.begin(), text.end()}, "x.safetensors"));
}

void refuse(const std::string& header, const std::string& data, const std::string& part) {
  const std::string message = test::refusal([&] { read(header, data); }, ErrorCode::kCheckpoint);
  EXPECT(message.find(part) != std::string::npos && message.find("x.safetensors: ") == 0, "'", part, "' for ",
         header, " in: ", message);
}

std::string entry(const std::string& shape, const std::string& offsets, const std::string& dtype = "F32") {
  return str("{\"a\":{\"dtype\":\"", dtype, "\",\"shape\":", shape, ",\"data_offsets\":", offsets, "}}");
}

const std::string kEight(8, '\1');

}  // namespace

TEST(safetensors_round_trip) {
  const std::string path = test::temporary("round-trip.safetensors");
  float values[6] = {1, -2, 3.5f, 0, 1e-30f, 7};
  int64_t ids[2] = {1, -1};
  write_safetensors(path, {{"x\"y", DType::kF32, {2, 3}, reinterpret_cast<uint8_t*>(values), 24},
                           {"none", DType::kF32, {0, 5}, nullptr, 0},
                           {"ids", DType::kI64, {2}, reinterpret_cast<uint8_t*>(ids), 16}});
  TensorFile file = TensorFile::open(path);
  std::filesystem::remove(path);
  EXPECT(file.tensors.size() == 3 && file.tensors[0].name == "x\"y" && file.find("none")->bytes == 0, "");
  EXPECT(std::memcmp(file.tensors[0].data, values, 24) == 0 && file.find("ids")->dtype == DType::kI64, "");
  EXPECT((file.tensors[0].data - file.map->data()) % 8 == 0, "data aligned to 8 bytes");
  EXPECT(file.map->size() > 8 && file.map->data()[8] == '{', "");
}

// A host program may write 1234 as '1.234'; a header may not.
TEST(safetensors_headers_do_not_depend_on_the_locale) {
  struct Grouped : std::numpunct<char> {
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
  };
  const std::string path = test::temporary("locale.safetensors");
  const std::vector<float> values(1234, 1.0f);
  const std::locale before = std::locale::global(std::locale(std::locale::classic(), new Grouped));
  write_safetensors(path,
                    {{"a", DType::kF32, {1234}, reinterpret_cast<const uint8_t*>(values.data()), 4936}});
  std::locale::global(before);
  EXPECT(TensorFile::open(path).find("a")->shape[0] == 1234, "");
  std::filesystem::remove(path);
}

TEST(safetensors_refuses_what_the_format_forbids) {
  EXPECT(read(entry("[2]", "[0,8]"), kEight).tensors[0].bytes == 8, "");
  EXPECT(read(entry("[]", "[0,4]"), "abcd").tensors[0].shape.empty(), "a scalar");
  EXPECT(read("{}", "").tensors.empty(), "an empty file of tensors");
  refuse("[]", "", "must be an object");
  refuse("{\"a\":", "", "header: not valid JSON");
  refuse("{\"a\":1}", "",
         "tensor 'a': expected an object with dtype, shape and two data_offsets, found the number 1");
  refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", "", "an object without them");
  refuse(entry("[2]", "[0,8]", "F7"), kEight, "unknown dtype 'F7'");
  refuse(entry("[-2]", "[0,8]"), kEight, "shape must hold integers from 0, found the number -2");
  refuse(entry("[1.5]", "[0,8]"), kEight, "shape must hold integers");
  refuse(entry("[\"2\"]", "[0,8]"), kEight, "shape must hold integers");
  refuse(entry("[2]", "[0,8,9]"), kEight, "two data_offsets");
  refuse(entry("[2]", "[8,0]"), kEight, "data_offsets [8, 0] do not fit the 8 bytes");
  refuse(entry("[2]", "[0,16]"), kEight, "truncated or damaged");
  refuse(entry("[2]", "[0,1e300]"), kEight, "data_offsets must hold integers");
  refuse(entry("[3]", "[0,8]"), kEight, "shape [3] of F32 does not take the 8 bytes");
  refuse(entry("[4611686018427387904,4]", "[0,8]"), kEight, "tensor 'a'");
  refuse(entry("[4294967296,4294967296,4294967296]", "[0,8]"), kEight, "does not take");
  refuse(entry("[1]", "[0,4]"), kEight, "the tensors take 4 bytes, but the file holds 8");
  refuse(entry("[1]", "[4,8]"), kEight, "starts at byte 4 of the data, expected byte 0");
  refuse(entry("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2]", "[0,8]"), kEight, "at most 16 dimensions");
  std::string a = "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}";
  refuse("{" + a + "," + a + "}", "abcd", "the key \"a\" appears twice");
  refuse("{" + a + ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "abcd",
         "expected byte 4");
}

TEST(safetensors_limits_the_header) {
  for (uint64_t length : {uint64_t{1000}, uint64_t{100000001}, ~uint64_t{0}}) {
    std::vector<uint8_t> bytes(16, '{');
    std::memcpy(bytes.data(), &length, 8);
    const std::string message =
        test::refusal([&] { TensorFile::read(FileMap::from_bytes(bytes, "x")); }, ErrorCode::kCheckpoint);
    EXPECT(message.find(str("claims ", length, " bytes")) != std::string::npos, message);
  }
}

TEST(safetensors_truncated_anywhere_is_refused) {
  auto whole = FileMap::open(test::golden_folder() + "/torch/expect.safetensors", ErrorCode::kCheckpoint);
  for (size_t size = 0; size < whole->size(); ++size) {
    const auto read = [&] {
      TensorFile::read(FileMap::from_bytes({whole->data(), whole->data() + size}, "x"));
    };
    EXPECT(test::refuses(read, ErrorCode::kCheckpoint), size);
  }
}

#if !defined(_WIN32)
// A limit on file sizes stands in for a full disk: writes fail the same way.
TEST(safetensors_write_failure_keeps_the_old_file) {
  namespace fs = std::filesystem;
  const fs::path folder = test::temporary("full");
  fs::create_directories(folder);
  std::string path = (folder / "w.safetensors").string();
  float one = 1;
  write_safetensors(path, {{"old", DType::kF32, {1}, reinterpret_cast<uint8_t*>(&one), 4}});

  std::vector<uint8_t> large(1 << 20);
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 1 << 16;
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string message = test::refusal(
      [&] {
        write_safetensors(path, {{"new", DType::kU8, {1 << 20}, large.data(), large.size()}});
      },
      ErrorCode::kCheckpoint);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);

  EXPECT(message.find(path + ": cannot be written: File too large") == 0, message);
  EXPECT(TensorFile::open(path).find("old"), "the old file");
  EXPECT(std::distance(fs::directory_iterator(folder), {}) == 1, "no temporary file");
  fs::remove_all(folder);
}
#endif

TEST(half_values_widen_exactly) {
  EXPECT(f16_to_f32(0x3c00) == 1 && f16_to_f32(0xc000) == -2 && f16_to_f32(0x7bff) == 65504, "");
  EXPECT(f16_to_f32(0x0001) == std::ldexp(1.0f, -24) && f16_to_f32(0x8001) == -std::ldexp(1.0f, -24),
         "subnormal");
  EXPECT(f16_to_f32(0x03ff) == std::ldexp(1023.0f, -24) && f16_to_f32(0x0400) == std::ldexp(1.0f, -14), "");
  EXPECT(f16_to_f32(0) == 0 && std::signbit(f16_to_f32(0x8000)), "signed zero");
  EXPECT(std::isinf(f16_to_f32(0x7c00)) && f16_to_f32(0xfc00) < 0 && std::isnan(f16_to_f32(0x7e00)), "");
  EXPECT(bf16_to_f32(0x3f80) == 1 && bf16_to_f32(0xc000) == -2 && std::isnan(bf16_to_f32(0x7fc0)), "");
}

// Every half is its own rounding, and floats between two halves go to the nearer, ties to the even one.
TEST(half_values_round_to_nearest_even) {
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    const float value = f16_to_f32(half), next = f16_to_f32(static_cast<uint16_t>(half + 1));
    EXPECT(f32_to_f16(value) == half && f32_to_f16(-value) == (half | 0x8000), value);
    if (bits == 0x7bff) break;
    const float middle = (value + next) / 2;
    EXPECT(f32_to_f16(middle) == (bits % 2 ? half + 1 : half), middle);
    EXPECT(f32_to_f16(std::nextafter(middle, value)) == half, middle);
    EXPECT(f32_to_f16(std::nextafter(middle, next)) == half + 1, middle);
  }
  EXPECT(f32_to_f16(65519.0f) == 0x7bff && f32_to_f16(65520.0f) == 0x7c00 && f32_to_f16(1e30f) == 0x7c00, "");
}

}  // namespace albert
