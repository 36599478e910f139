// Tests the WordPiece tokenizer with the conformance vectors of google-research/albert
// (tokenization_test.py).
#include "albert/tokenizer.h"
#include "support/error.h"
#include "test.h"

namespace albert {
namespace {

std::unique_ptr<Tokenizer> load(const std::string& config = "") {
  TokenizerFiles files;
  files.vocabulary_path = test::golden_folder() + "/vocabulary/vocab.txt";
  files.tokenizer_config_json = config;
  return Tokenizer::load(files);
}

Encoding encode(const Tokenizer& tokenizer, const std::u16string& text) {
  EncodeOptions options;
  options.add_special_tokens = false;
  return tokenizer.encode({text, {}, false}, options);
}

std::string tokens(const Tokenizer& tokenizer, const std::u16string& text) {
  std::string all;
  for (const std::string& token : encode(tokenizer, text).tokens) all += (all.empty() ? "" : " ") + token;
  return all;
}

TEST(wordpiece_splits_words_into_pieces) {
  const auto tokenizer = load();
  EXPECT((encode(*tokenizer, u"UNwant\u00E9d,running").ids == std::vector<int32_t>{7, 4, 5, 10, 8, 9}));
  EXPECT(tokens(*tokenizer, u"unwantedX running") == "[UNK] runn ##ing");
  EXPECT(tokens(*tokenizer, u"") == "");
  EXPECT(tokens(*tokenizer, u"ah\u535A\u63A8zz") == "ah 博 推 zz");
  EXPECT(tokens(*tokenizer, std::u16string(201, u'a')) == "[UNK]");
  EXPECT(encode(*tokenizer, std::u16string(200, u'a')).ids.size() == 200);
}

TEST(wordpiece_lower_cases_and_strips_accents_unless_cased) {
  const std::u16string text = u" \tHeLLo!how  \n Are yoU?  ";
  EXPECT(tokens(*load(), text) == "hello ! how are you ?", tokens(*load(), text));
  EXPECT(tokens(*load(R"({"do_lower_case": false})"), text) == "HeLLo ! how Are yoU ?");
  EXPECT(tokens(*load(), u"AC\u0327AF\u00C9") == "[UNK]");
  EXPECT(tokens(*load(), u"CAFE\u0301S") == "cafe ##s");
  EXPECT(tokens(*load(), u"\u03A3 a\u03A3") == "σ a ##ς", tokens(*load(), u"\u03A3 a\u03A3"));
  EXPECT(tokens(*load(R"({"do_lower_case": true, "strip_accents": false})"), u"a\u00C9") == "a ##é");
}

TEST(wordpiece_cleans_the_text) {
  const auto tokenizer = load();
  EXPECT(tokens(*tokenizer, u"how\u2028are\u2029you") == "how are you");
  const std::u16string controls = {u'a', 5, u'h', 0xFFFD, 0, 0xA0, u'z', 0x200B, u'z'};
  EXPECT(tokens(*tokenizer, controls) == "ah zz", tokens(*tokenizer, controls));
  EXPECT(tokens(*load(R"({"tokenize_chinese_chars": false})"), u"\u535A\u63A8") == "[UNK]");
}

TEST(wordpiece_offsets_slice_the_callers_string) {
  const std::u16string text = u" UNwant\u00E9d, [MASK] \u535Ae";
  const Encoding got = load()->encode({text, {}, false}, {});
  // [CLS] un ##want ##ed , [MASK] 博 [UNK] [SEP]
  EXPECT((got.offsets == std::vector<int32_t>{0, 0, 1, 3, 3, 7, 7, 9, 9, 10, 11, 17, 18, 19, 19, 20, 0, 0}));
}

TEST(wordpiece_decodes) {
  const auto tokenizer = load();
  const Encoding got = tokenizer->encode({u"unwanted, running", u"how are you?", true}, {});
  EXPECT(tokenizer->decode(got.ids, true) == "unwanted, running how are you?",
         tokenizer->decode(got.ids, true));
  EXPECT(tokenizer->special_tokens().mask == 12 && tokenizer->special_tokens().bos == -1);
}

TEST(wordpiece_is_read_from_tokenizer_json) {
  const std::string json = R"({"added_tokens": [{"id": 1, "content": "[CLS]", "special": true},
      {"id": 2, "content": "[SEP]", "special": true}, {"id": 9, "content": "[extra]", "special": false}],
      "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
      "lowercase": true}, "pre_tokenizer": {"type": "BertPreTokenizer"}, "model": {"type": "WordPiece",
      "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 4,
      "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "un": 3, "##do": 4}}})";
  const auto tokenizer = Tokenizer::load_bytes(json, "tokenizer.json", {});
  EXPECT((tokenizer->encode({u"Und\u00F6 undoo[extra]", {}, false}, {}).ids ==
          std::vector<int32_t>{1, 3, 4, 0, 9, 2}));
  EXPECT(tokenizer->vocabulary_size() == 10);
}

}  // namespace
}  // namespace albert
