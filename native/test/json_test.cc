// The JSON reader: values, escapes, limits, and an error with a place for every malformed text.
#include "support/json.h"

#include <cmath>

#include "test.h"

namespace albert {
namespace {

Json parse(const std::string& text) { return Json::parse(text, {ErrorCode::kInvalidConfig, "config.json"}); }

void refuse(const std::string& text, const std::string& part) {
  const std::string message = test::refusal([&] { parse(text); }, ErrorCode::kInvalidConfig);
  EXPECT(message.find(part) != std::string::npos && message.find("config.json: ") == 0, part, " for ", text,
         " in: ", message);
}

}  // namespace

TEST(json_reads_every_type) {
  Json json = parse(" {\"a\": [1, -2.5e3, 0, true, false, null, \"x\"], \"b\": {}, \"c\": []} ");
  EXPECT(json.is_object() && json.object().size() == 3);
  const auto& items = json.find("a")->array();
  EXPECT(items.size() == 7 && items[0].number() == 1 && items[1].number() == -2500 && items[2].number() == 0);
  EXPECT(items[3].boolean() && items[4].is_bool() && !items[4].boolean() && items[5].is_null());
  EXPECT(items[6].string() == "x" && items[6].number() == 0 && items[0].string().empty());
  EXPECT(json.find("b")->is_object() && json.find("c")->is_array() && !json.find("d"));
  EXPECT(!items[0].find("a"), "a number has no members");
  EXPECT(parse("1e-12").number() == 1e-12 && parse("0.1").number() == 0.1);
}

TEST(json_numbers_too_small_for_a_double_are_zero) {
  for (const char* text : {"1e-400", "0.001e-400", "1234E-4000", "123.5e-99999999999999999999", "0e999"})
    EXPECT(parse(text).number() == 0 && !std::signbit(parse(text).number()), text);
  EXPECT(parse(str("0.", std::string(400, '0'), "1")).number() == 0);
  EXPECT(parse("-1e-400").number() == 0 && std::signbit(parse("-1e-400").number()));
  EXPECT(parse(str("1", std::string(400, '0'), "e-400")).number() == 1);
  EXPECT(parse("5e-324").number() == 5e-324 && parse("0.00001e300").number() == 1e295);
  const std::string tail(400, '0');
  for (const std::string& text : {str("1", tail), str("-1", tail, ".5"), str("1", tail, "e-1"),
                                  str("0.01e500"), str("1e+99999999999999999999")})
    refuse(text, "a number that a double can hold");
}

TEST(json_reads_escapes_and_utf8) {
  EXPECT(parse("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\"").string() == "\"\\/\b\f\n\r\tA");
  EXPECT(parse("\"\\u00e9\\u20ac\\ud83d\\ude00\"").string() == "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  EXPECT(parse("\"\\ud83d\"").string() == "\xef\xbf\xbd", "a lone high surrogate");
  EXPECT(parse("\"\\ude00x\"").string() == "\xef\xbf\xbdx", "a lone low surrogate");
  EXPECT(parse("\"\\ud83d\\u0041\"").string() ==
         "\xef\xbf\xbd"
         "A");
  EXPECT(parse("\"\\u0000\"").string() == std::string(1, '\0'));
  EXPECT(parse("\"\xe2\x96\x81\xf0\x9f\x98\x80\"").string() == "\xe2\x96\x81\xf0\x9f\x98\x80");
}

TEST(json_repeated_key_keeps_the_last_value) {
  Json few = parse("{\"a\":1,\"b\":2,\"a\":3,\"c\":4,\"a\":5}");
  EXPECT(few.object().size() == 3 && few.object()[0].second.number() == 5 && few.object()[2].first == "c");
  std::string text = "{";
  for (int i = 0; i < 40; ++i) text += str(i ? "," : "", "\"k", i % 20, "\":", i);
  Json many = parse(text + "}");
  EXPECT(many.object().size() == 20);
  for (int i = 0; i < 20; ++i) EXPECT(many.find(str("k", i))->number() == i + 20, i);
}

TEST(json_refuses_malformed_text_with_its_place) {
  refuse("", "at byte 0 (line 1): expected a value, the text ends");
  refuse("{\n \"a\": 01}", "at byte 9 (line 2): expected ',' or '}', found '1'");
  refuse("[1,]", "at byte 3");
  refuse("[1 2]", "expected ',' or ']', found '2'");
  refuse("{a:1}", "a key in double quotes");
  refuse("{\"a\" 1}", "expected ':'");
  refuse("{\"a\":1,}", "a key in double quotes, found '}'");
  refuse("tru", "expected 'true', the text ends");
  refuse("nul1", "expected 'null', found '1'");
  refuse("1 2", "the end of the text");
  refuse("-", "a digit after '-'");
  refuse("1.", "a digit after '.'");
  refuse(".5", "a value, found '.'");
  refuse("+1", "a value");
  refuse("1e", "a digit of the exponent");
  refuse("1e999", "a number that a double can hold");
  refuse("NaN", "found 'N'");
  refuse("\"abc", "the closing '\"' of the string that starts at byte 0");
  refuse("\"a\nb\"", "no control character in a string (write it as an escape), found byte 0x0a");
  refuse("\"\\x\"", "after a backslash, found 'x'");
  refuse("\"\\u12g4\"", "four hexadecimal digits");
  refuse("\"\\u12", "four hexadecimal digits, the text ends");
  refuse("\xef\xbb\xbf{}", "byte order mark");
  refuse(std::string("[1]\0", 4), "the end of the text, found byte 0x00");
}

TEST(json_refuses_invalid_utf8) {
  for (const char* bad : {"\x80", "\xc0\xaf", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
                          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"})
    refuse(str("\"", bad, "\""), "valid UTF-8");
}

TEST(json_limits_depth_and_values) {
  std::string deepest = std::string(Json::kMaxDepth, '[') + std::string(Json::kMaxDepth, ']');
  EXPECT(parse(deepest).is_array());
  refuse("[" + deepest + "]", "at most 64 nested values");
  refuse(std::string(1000000, '['), "at most 64 nested values");
  std::string many = "[0";
  for (int64_t i = 0; i < Json::kMaxValues; ++i) many += ",0";
  refuse(many + "]", "values");
}

TEST(json_truncated_anywhere_is_refused) {
  std::string text = "{\"a\":[1.5e+3,true,null,\"\\ud83d\\ude00\xc3\xa9\"],\"b\":{\"c\":false}}";
  for (size_t i = 0; i < text.size(); ++i) refuse(text.substr(0, i), "not valid JSON");
}

}  // namespace albert
