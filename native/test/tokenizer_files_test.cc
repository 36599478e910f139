// Tests what the tokenizer's readers refuse, and that damage of any kind is an error and never a crash.
#include <fstream>
#include <iterator>

#include "albert/tokenizer.h"
#include "support/error.h"
#include "test.h"

namespace albert {
namespace {

std::string read(const std::string& name) {
  std::ifstream file(test::golden_folder() + "/vocabulary/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The message of the Error{kTokenizer} that loading gives; empty when it succeeds.
std::string refusal(const std::string& bytes, const TokenizerFiles& files = {},
                    const std::string& name = "file") {
  const auto load_and_use = [&] {
    const auto tokenizer = Tokenizer::load_bytes(bytes, name, files);
    tokenizer->encode({u"The caf\u00E9 in 1851, (\uD55C)", {}, false}, {});
  };
  return test::refusal(load_and_use, ErrorCode::kTokenizer);
}

void expect_refusal(const std::string& bytes, const std::string& part, const TokenizerFiles& files = {}) {
  const std::string message = refusal(bytes, files);
  EXPECT(message.find(part) != std::string::npos, "a message with '", part, "', found '", message, "'");
}

// A piece of a ModelProto: text, a score of -1 unless it is no float, and a type.
std::string piece(const std::string& text, int type) {
  const std::string body = std::string("\x0A") + static_cast<char>(text.size()) + text +
                           std::string("\x15\x00\x00\x80\xBF\x18", 6) + static_cast<char>(type);
  return std::string("\x0A") + static_cast<char>(body.size()) + body;
}
std::string tiny() { return piece("<unk>", 2) + piece("[CLS]", 3) + piece("[SEP]", 3) + piece("a", 1); }

TEST(tokenizer_loads_a_tiny_model) {
  EXPECT(refusal(tiny()) == "", refusal(tiny()));
  TokenizerFiles files;
  files.special_tokens_json = R"({"mask_token": {"content": "a", "lstrip": true}, "pad_token": null})";
  const auto tokenizer = Tokenizer::load_bytes(tiny(), "tiny", files);
  EXPECT(tokenizer->special_tokens().mask == 3 && tokenizer->special_tokens().pad == -1);
}

TEST(tokenizer_refuses_damaged_models) {
  expect_refusal("", "empty");
  expect_refusal(tiny() + piece("a", 1), "defined twice");
  expect_refusal(tiny() + piece("xy", 4) + piece("xy", 4), "defined twice");
  expect_refusal(tiny() + piece("b", 2), "one unknown piece");
  expect_refusal(piece("a", 1), "UNKNOWN");
  expect_refusal(tiny() + piece("b", 7), "type from 1 to 6");
  expect_refusal(tiny() + piece("", 1), "is empty");
  expect_refusal(tiny() + "\x12\x02\x18\x02", "found type 2");
  expect_refusal(tiny() + std::string("\x1A\x06\x12\x04\xFF\xFF\xFF\x7F", 8), "character map");
  expect_refusal(tiny() + "\x0A\x7F", "does not fit");
  expect_refusal(std::string("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 12), "longer than 10 bytes");
  expect_refusal(piece("<unk>", 2) + piece("a", 1), "no [CLS]");
}

TEST(tokenizer_survives_truncated_and_damaged_files) {
  for (const char* name : {"spiece.model", "tokenizer.json", "vocab.txt"}) {
    const std::string whole = read(name);
    EXPECT(!whole.empty(), name);
    for (size_t size = 0; size < whole.size(); size += whole.size() / 40 + 1)
      refusal(whole.substr(0, size), {}, name);
    std::string damaged = whole;
    uint32_t random = 1;
    for (int round = 0; round < 60; ++round) {
      for (int i = 0; i < 20; ++i) {
        random = random * 1664525 + 1013904223;
        damaged[random % damaged.size()] = static_cast<char>(random >> 24);
      }
      refusal(damaged, {}, name);
      if (round % 8 == 7) damaged = whole;
    }
  }
}

TEST(tokenizer_refuses_damaged_json) {
  expect_refusal(R"({"model": {"type": "BPE"}})", "Unigram or WordPiece");
  expect_refusal(R"({"version": "1.0"})", "'model'");
  expect_refusal(R"({"model": {"type": "Unigram", "vocab": [["a", 0]]}})", "unk_id");
  expect_refusal(R"({"model": {"type": "Unigram", "unk_id": 1, "vocab": [["a", 0]]}})", "there are 1 pieces");
  expect_refusal(R"({"model": {"type": "Unigram", "unk_id": 0, "vocab": [["a"]]}})", "[piece, score]");
  expect_refusal(R"({"model": {"type": "Unigram", "unk_id": 0, "vocab": [["a", 0]]}, "normalizer":
                  {"type": "Precompiled", "precompiled_charsmap": "?"}})",
                 "base64");
  expect_refusal(R"({"model": {"type": "WordPiece", "vocab": {"[UNK]": -1}}})", "token id");
}

TEST(tokenizer_refuses_pieces_that_are_too_long) {
  const auto vocab_txt = [](const std::string& piece) { return "[UNK]\n[CLS]\n[SEP]\n" + piece + "\n"; };
  const auto unigram = [](const std::string& piece) {
    return R"({"model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["[CLS]", 0], ["[SEP]", 0], [")" +
           piece + R"(", -1]]}})";
  };
  const std::string longest(1024, 'a'), part = "at most 1024 bytes for a piece but number 3 has 1025";
  EXPECT(refusal(vocab_txt(longest)) == "" && refusal(unigram(longest)) == "");
  expect_refusal(vocab_txt(longest + "a"), part);
  expect_refusal(unigram(longest + "a"), part);
  TokenizerFiles files;
  files.tokenizer_config_json = R"({"added_tokens_decoder": {"4": {"content": ")" + longest + R"(a"}}})";
  expect_refusal(tiny(), "has 1025", files);
}

TEST(tokenizer_refuses_damaged_settings) {
  TokenizerFiles files;
  files.tokenizer_config_json = R"({"do_lower_case": "yes"})";
  expect_refusal(tiny(), "do_lower_case", files);
  for (const char* key : {"x", "", " 4", "0x4", "4e0", "4.0", "-4", "4\\u0000", "4294967300"}) {
    files.tokenizer_config_json = str(R"({"added_tokens_decoder": {")", key, R"(": {"content": "b"}}})");
    expect_refusal(tiny(), "added_tokens_decoder", files);
  }
  files.tokenizer_config_json = R"({"added_tokens_decoder": {"200000000": {"content": "b"}}})";
  expect_refusal(tiny(), "far beyond", files);
  files.tokenizer_config_json = "{";
  expect_refusal(tiny(), "tokenizer_config.json", files);
  files.tokenizer_config_json = "";
  files.special_tokens_json = R"({"cls_token": 7})";
  expect_refusal(tiny(), "cls_token", files);
}

}  // namespace
}  // namespace albert
