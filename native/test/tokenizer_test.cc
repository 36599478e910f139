// Tests the SentencePiece tokenizer: goldens of the reference, offsets, special tokens, pairs, windows,
// decoding.
#include "albert/tokenizer.h"

#include <fstream>

#include "albert/text_tokenizer.h"
#include "albert/unicode.h"
#include "support/json.h"
#include "test.h"

namespace albert {
namespace {

std::unique_ptr<Tokenizer> load(const std::string& path, const std::string& config = "") {
  TokenizerFiles files;
  files.vocabulary_path = path;
  files.tokenizer_config_json = config;
  return Tokenizer::load(files);
}

std::string vocabulary() { return test::golden_folder() + "/vocabulary/spiece.model"; }

Encoding encode(const Tokenizer& tokenizer, const std::u16string& text, const EncodeOptions& options = {}) {
  return tokenizer.encode({text, {}, false}, options);
}

EncodeOptions plain_text() {
  EncodeOptions options;
  options.add_special_tokens = false;
  options.split_special_tokens = true;
  return options;
}

std::string joined(const std::vector<std::string>& tokens) {
  std::string text;
  for (const std::string& token : tokens) text += (text.empty() ? "" : "|") + token;
  return text;
}

// What each token covers, as a user would slice it.
std::string surfaces(const std::u16string& text, const Encoding& encoding) {
  std::string all;
  for (size_t i = 0; i < encoding.ids.size(); ++i) {
    const auto start = static_cast<size_t>(encoding.offsets[2 * i]);
    const auto end = static_cast<size_t>(encoding.offsets[2 * i + 1]);
    if (i > 0) all += '|';
    for (size_t at = start, length = 0; at < end; at += length) {
      int units = 0;
      unicode::append_utf8(all, unicode::decode_utf16(text, at, &units));
      length = static_cast<size_t>(units);
    }
  }
  return all;
}

// Compares every line of a golden file; `prefix` is '' or 'cased_'.
void compare_goldens(const Tokenizer& tokenizer, const std::string& path, const std::string& prefix) {
  std::ifstream file(path);
  if (!file) throw test::Skip{"no " + path};
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    const Json golden = Json::parse(line, {ErrorCode::kData, path});
    const std::string& text = golden.find("text")->string();
    const Encoding got = encode(tokenizer, unicode::to_utf16(text), plain_text());
    std::vector<int32_t> ids;
    std::vector<std::string> pieces;
    for (const Json& id : golden.find(prefix + "ids")->array())
      ids.push_back(static_cast<int32_t>(id.number()));
    for (const Json& piece : golden.find(prefix + "pieces")->array()) pieces.push_back(piece.string());
    EXPECT(got.tokens == pieces, path, " line ", number, ": ", joined(got.tokens), " instead of ",
           joined(pieces));
    EXPECT(got.ids == ids, path, " line ", number);
  }
  EXPECT(number > 0, path);
}

constexpr char kCased[] = R"({"do_lower_case": false, "keep_accents": true})";

TEST(tokenizer_matches_the_sentencepiece_library) {
  const std::string golden = test::golden_folder() + "/vocabulary/sentencepiece.jsonl";
  compare_goldens(*load(vocabulary()), golden, "");
  compare_goldens(*load(vocabulary(), kCased), golden, "cased_");
}

TEST(tokenizer_matches_the_reference_on_alberts_vocabulary) {
  const std::string model = test::shared_folder() + "/data/albert-spiece.model";
  if (test::shared_folder().empty() || !std::ifstream(model)) throw test::Skip{"no albert-spiece.model"};
  const std::string golden = test::shared_folder() + "/golden/tokenizer/albert.jsonl";
  compare_goldens(*load(model), golden, "");
  compare_goldens(*load(model, kCased), golden, "cased_");
}

TEST(tokenizer_json_gives_the_ids_of_the_sentencepiece_model) {
  compare_goldens(*load(test::golden_folder() + "/vocabulary/tokenizer.json"),
                  test::golden_folder() + "/vocabulary/sentencepiece.jsonl", "");
}

TEST(tokenizer_offsets_slice_the_callers_string) {
  const auto tokenizer = load(vocabulary());
  const std::pair<std::u16string, std::string> cases[] = {
      {u"  The  whale", "The|whale"},
      {u"😀 whale", "|😀|whale"},         // a surrogate pair before the word; the bare metaspace is empty
      {u"``the''", "|``|the|''"},       // two characters make one quote
      {u"½ the", "|½|½|½|the"},         // one character makes three tokens
      {u"wha\u0301le", "wha\u0301le"},  // a dropped accent belongs to its letter
      {u"THE\u00a0\u3000WHALE", "THE|WHALE"},
      {u"\u212Aing", "\u212Aing"},       // KELVIN SIGN
      {u"the\u200bwhale", "the|whale"},  // zero width space
  };
  for (const auto& [text, expected] : cases) {
    const Encoding got = encode(*tokenizer, text, plain_text());
    EXPECT(surfaces(text, got) == expected, surfaces(text, got), " (", joined(got.tokens), ") instead of ",
           expected);
  }
}

TEST(tokenizer_takes_lone_surrogates_for_replacement_characters) {
  const auto tokenizer = load(vocabulary());
  const std::u16string text = {u'a', 0xD800, u'b', 0xDC00};
  EXPECT(encode(*tokenizer, text).ids == encode(*tokenizer, u"a\uFFFDb\uFFFD").ids);
}

TEST(tokenizer_finds_special_tokens_in_the_text) {
  const auto tokenizer = load(vocabulary());
  const SpecialTokens special = tokenizer->special_tokens();
  EXPECT(special.pad == 0 && special.unk == 1 && special.cls == 2 && special.sep == 3 && special.mask == 4);
  EXPECT(special.bos == special.cls && special.eos == special.sep);
  const std::u16string text = u"the [MASK]whale[SEP]";
  const Encoding got = encode(*tokenizer, text);
  EXPECT(joined(got.tokens) == "[CLS]|▁the|[MASK]|▁whale|[SEP]|[SEP]", joined(got.tokens));
  EXPECT(surfaces(text, got) == "|the|[MASK]|whale|[SEP]|", surfaces(text, got));
  EncodeOptions options;
  options.split_special_tokens = true;
  for (const int32_t id : encode(*tokenizer, text, options).ids) EXPECT(id != special.mask);
}

TEST(tokenizer_finds_added_tokens_with_their_flags) {
  const auto tokenizer = load(vocabulary(), R"({"added_tokens_decoder": {
      "1800": {"content": "<new>", "special": false}, "1801": {"content": "<newer>", "single_word": true}}})");
  EXPECT(tokenizer->vocabulary_size() == 1802, tokenizer->vocabulary_size());
  EXPECT(tokenizer->token_to_id("<new>") == 1800 && tokenizer->id_to_token(1801) == "<newer>");
  EXPECT(encode(*tokenizer, u"<new><newer> <newer>").ids[1] == 1800);
  EXPECT(encode(*tokenizer, u"a<newer>").ids.size() > 3);
  EXPECT(encode(*tokenizer, u"<newer>").ids.size() == 3);
  EXPECT(tokenizer->decode({tokenizer->token_to_id("▁the"), 1800}, true) == "the <new>");
}

TEST(tokenizer_joins_pairs) {
  const auto tokenizer = load(vocabulary());
  const Encoding got = tokenizer->encode({u"the whale", u"the ship", true}, {});
  EXPECT(joined(got.tokens) == "[CLS]|▁the|▁whale|[SEP]|▁the|▁ship|[SEP]", joined(got.tokens));
  EXPECT((got.types == std::vector<int32_t>{0, 0, 0, 0, 1, 1, 1}));
  EXPECT(got.offsets[8] == 0 && got.offsets[9] == 3 && got.offsets[10] == 4);
}

TEST(tokenizer_truncates_the_longest_first) {
  const auto tokenizer = load(vocabulary());
  EncodeOptions options;
  options.max_length = 8;
  const Encoding got = tokenizer->encode({u"the the the the the the", u"of of of of", true}, options);
  EXPECT(joined(got.tokens) == "[CLS]|▁the|▁the|▁the|[SEP]|▁of|▁of|[SEP]", joined(got.tokens));
  options.truncation = Truncation::kOnlyFirst;
  EXPECT(joined(tokenizer->encode({u"the the the the", u"of of of of", true}, options).tokens) ==
         "[CLS]|▁the|[SEP]|▁of|▁of|▁of|▁of|[SEP]");
  EXPECT(test::refuses(
      [&] {
        tokenizer->encode({u"the", u"of of of of of of of", true}, options);
      },
      ErrorCode::kTooLong));
  options.truncation = Truncation::kNone;
  EXPECT(test::refuses([&] { encode(*tokenizer, u"the the the the the the the", options); },
                       ErrorCode::kTooLong));
  EXPECT(encode(*tokenizer, u"the the the the the the", options).ids.size() == 8);
}

TEST(tokenizer_makes_overlapping_windows) {
  const auto tokenizer = load(vocabulary());
  EncodeOptions options;
  options.max_length = 8;
  options.stride = 1;
  options.return_overflowing = true;
  options.truncation = Truncation::kOnlySecond;
  const std::u16string second = u"the of and a ship whale";
  const Encoding got = tokenizer->encode({u"the", second, true}, options);
  EXPECT(joined(got.tokens) == "[CLS]|▁the|[SEP]|▁the|▁of|▁and|▁a|[SEP]", joined(got.tokens));
  EXPECT(got.overflowing.size() == 1, got.overflowing.size());
  EXPECT(joined(got.overflowing[0].tokens) == "[CLS]|▁the|[SEP]|▁a|▁ship|▁whale|[SEP]");
  EXPECT(got.overflowing[0].offsets[2 * 4] == 13, got.overflowing[0].offsets[2 * 4]);
  options.stride = 4;
  EXPECT(test::refuses(
      [&] {
        tokenizer->encode({u"the", second, true}, options);
      },
      ErrorCode::kInvalidArgument));
  options.max_length = 2;
  EXPECT(test::refuses(
      [&] {
        tokenizer->encode({u"the", second, true}, options);
      },
      ErrorCode::kInvalidArgument));
}

TEST(tokenizer_decodes_as_the_reference) {
  const auto tokenizer = load(vocabulary());
  const Encoding got = tokenizer->encode({u"The whale's jaw, (the ship).", u"Of [MASK]!", true}, {});
  EXPECT(tokenizer->decode(got.ids, true) == "the whale's jaw, (the ship). of!",
         tokenizer->decode(got.ids, true));
  EXPECT(tokenizer->decode(got.ids, false) == "[CLS] the whale's jaw, (the ship).[SEP] of[MASK]![SEP]",
         tokenizer->decode(got.ids, false));
  EXPECT(test::refuses([&] { tokenizer->decode({1800}, false); }, ErrorCode::kOutOfVocabulary));
  EXPECT(test::refuses([&] { tokenizer->id_to_token(-1); }, ErrorCode::kOutOfVocabulary));
  EXPECT(tokenizer->token_to_id("no such piece") == -1);
}

TEST(tokenizer_keeps_no_workspace_that_grew_large) {
  TokenizerWorkspace workspace;
  EXPECT(workspace.is_small());
  workspace.first.tokens.reserve(1000);
  workspace.prepared.reserve_more(100000);
  EXPECT(workspace.is_small());
  workspace.second.tokens.reserve(1 << 20);
  EXPECT(!workspace.is_small(), "of many added tokens");
}

TEST(tokenizer_batches_do_not_depend_on_threads) {
  const auto tokenizer = load(vocabulary());
  std::vector<std::u16string> texts;
  for (int i = 0; i < 100; ++i) texts.push_back(u"the whale " + std::u16string(static_cast<size_t>(i), u'a'));
  std::vector<TextInput> inputs;
  for (const std::u16string& text : texts) inputs.push_back({text, {}, false});
  const std::vector<Encoding> one = encode_batch(*tokenizer, inputs, {}, 1),
                              four = encode_batch(*tokenizer, inputs, {}, 4);
  EXPECT(one.size() == 100 && four.size() == 100);
  for (size_t i = 0; i < one.size(); ++i)
    EXPECT(one[i].ids == four[i].ids && one[i].offsets == four[i].offsets, i);
  EncodeOptions options;
  options.truncation = Truncation::kNone;
  options.max_length = 40;
  EXPECT(test::refuses([&] { encode_batch(*tokenizer, inputs, options, 4); }, ErrorCode::kTooLong));
}

}  // namespace
}  // namespace albert
