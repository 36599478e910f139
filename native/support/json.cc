// Recursive-descent parser of the JSON reader; the depth limit bounds the recursion.
#include "json.h"

#include <algorithm>
#include <charconv>
#include <unordered_map>
#if !defined(__cpp_lib_to_chars)
#include <locale>
#endif

#include "utf8.h"

namespace albert {
namespace {

constexpr size_t kLinearKeys = 8;  // up to here comparing every pair of keys beats hashing them

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Of a number in JSON's spelling that no double holds: whether it is too small rather than too large.
bool is_too_small(std::string_view number) {
  constexpr int64_t kFar = 1 << 30;  // more digits than a text has
  const size_t exponent_at = std::min(number.find_first_of("eE"), number.size());
  const std::string_view digits = number.substr(0, exponent_at);
  const size_t point = std::min(digits.find('.'), digits.size());
  const size_t first = std::min(digits.find_first_of("123456789"), digits.size());
  // The power of ten that the first digit above zero counts.
  const int64_t place = static_cast<int64_t>(point) - static_cast<int64_t>(first) - (first < point ? 1 : 0);
  int64_t exponent = 0;
  for (const char c : number.substr(exponent_at))
    if (is_digit(c)) exponent = std::min(exponent * 10 + (c - '0'), kFar);
  const bool negative = number.find('-', exponent_at) != std::string_view::npos;
  return place + (negative ? -exponent : exponent) < 0;
}

}  // namespace

class JsonParser {
 public:
  JsonParser(std::string_view text, const Json::Source& source)
      : begin_(text.data()), at_(begin_), end_(begin_ + text.size()), source_(source) {}

  Json document() {
    if (end_ - at_ >= 3 && std::string_view(at_, 3) == "\xef\xbb\xbf")
      fail("JSON without a byte order mark, which RFC 8259 forbids; save the file as plain UTF-8", at_);
    Json value;
    skip_space();
    parse_value(&value, 0);
    skip_space();
    if (at_ != end_) fail("the end of the text", at_);
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& expected, const char* where) const {
    std::string found;
    if (where >= end_) {
      found = "the text ends";
    } else if (static_cast<unsigned char>(*where) >= 0x20 && static_cast<unsigned char>(*where) < 0x7f) {
      found = str("found '", *where, "'");
    } else {
      static const char digits[] = "0123456789abcdef";
      unsigned char byte = static_cast<unsigned char>(*where);
      found = str("found byte 0x", digits[byte >> 4], digits[byte & 15]);
    }
    int64_t line = 1;
    for (const char* p = begin_; p < where; ++p) line += *p == '\n';
    throw Error(source_.code, str(source_.name, ": not valid JSON at byte ", where - begin_, " (line ", line,
                                  "): expected ", expected, ", ", found));
  }

  void skip_space() {
    while (at_ < end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
  }

  bool accept(char c) {
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }

  void parse_value(Json* value, int depth) {
    if (++values_ > Json::kMaxValues) fail(str("at most ", Json::kMaxValues, " values"), at_);
    if (at_ == end_) fail("a value", at_);
    switch (*at_) {
      case '{':
        return parse_object(value, depth + 1);
      case '[':
        return parse_array(value, depth + 1);
      case '"':
        return parse_string(&value->value_.emplace<std::string>());
      case 't':
        return expect_word("true"), void(value->value_ = true);
      case 'f':
        return expect_word("false"), void(value->value_ = false);
      case 'n':
        return expect_word("null");
      default:
        value->value_ = parse_number();
    }
  }

  void expect_word(std::string_view word) {
    for (char c : word)
      if (!accept(c)) fail(str("'", word, "'"), at_);
  }

  void parse_array(Json* value, int depth) {
    if (depth > Json::kMaxDepth) fail(str("at most ", Json::kMaxDepth, " nested values"), at_);
    auto& items = value->value_.emplace<std::vector<Json>>();
    ++at_;
    skip_space();
    if (accept(']')) return;
    for (;;) {
      skip_space();
      parse_value(&items.emplace_back(), depth);
      skip_space();
      if (accept(']')) return;
      if (!accept(',')) fail("',' or ']'", at_);
    }
  }

  void parse_object(Json* value, int depth) {
    if (depth > Json::kMaxDepth) fail(str("at most ", Json::kMaxDepth, " nested values"), at_);
    auto& members = value->value_.emplace<std::vector<std::pair<std::string, Json>>>();
    ++at_;
    skip_space();
    if (accept('}')) return;
    for (;;) {
      skip_space();
      if (at_ == end_ || *at_ != '"') fail("a key in double quotes", at_);
      auto& member = members.emplace_back();
      parse_string(&member.first);
      skip_space();
      if (!accept(':')) fail("':'", at_);
      skip_space();
      parse_value(&member.second, depth);
      skip_space();
      if (accept('}')) break;
      if (!accept(',')) fail("',' or '}'", at_);
    }
    drop_repeated_keys(&members);
  }

  // A repeated key keeps the place of its first and the value of its last appearance, as in JavaScript.
  void drop_repeated_keys(std::vector<std::pair<std::string, Json>>* members) {
    auto& all = *members;
    std::unordered_map<std::string_view, size_t> first;
    bool hashed = all.size() > kLinearKeys;
    if (hashed) first.reserve(all.size());
    std::vector<size_t> repeated;
    for (size_t i = 0; i < all.size(); ++i) {
      size_t seen = i;
      if (hashed) {
        seen = first.emplace(all[i].first, i).first->second;
      } else {
        for (seen = 0; all[seen].first != all[i].first;) ++seen;
      }
      if (seen == i) continue;
      check(!source_.unique_keys, source_.code, source_.name, ": the key \"", all[i].first.substr(0, 200),
            "\" appears twice in one JSON object; expected every key once");
      all[seen].second = std::move(all[i].second);
      repeated.push_back(i);
    }
    if (repeated.empty()) return;
    size_t kept = 0, next = 0;
    for (size_t i = 0; i < all.size(); ++i) {
      if (next < repeated.size() && repeated[next] == i)
        ++next;
      else if (kept++ != i)
        all[kept - 1] = std::move(all[i]);
    }
    all.resize(kept);
  }

  void parse_string(std::string* out) {
    const char* opening = at_++;
    for (;;) {
      const char* run = at_;
      while (at_ < end_ && *at_ != '"' && *at_ != '\\') {
        size_t length = 0;
        const char32_t c = unicode::decode_utf8({at_, static_cast<size_t>(end_ - at_)}, &length);
        if (c < 0x20) fail("no control character in a string (write it as an escape)", at_);
        if (c == unicode::kReplacement && length == 1) fail("valid UTF-8", at_);
        at_ += length;
      }
      out->append(run, at_);
      if (at_ == end_)
        fail(str("the closing '\"' of the string that starts at byte ", opening - begin_), at_);
      if (accept('"')) return;
      parse_escape(out);
    }
  }

  void parse_escape(std::string* out) {
    ++at_;
    if (at_ == end_) fail("an escape letter", at_);
    switch (*at_++) {
      case '"':
        out->push_back('"');
        return;
      case '\\':
        out->push_back('\\');
        return;
      case '/':
        out->push_back('/');
        return;
      case 'b':
        out->push_back('\b');
        return;
      case 'f':
        out->push_back('\f');
        return;
      case 'n':
        out->push_back('\n');
        return;
      case 'r':
        out->push_back('\r');
        return;
      case 't':
        out->push_back('\t');
        return;
      case 'u':
        break;
      default:
        fail("one of \"\\/bfnrtu after a backslash", at_ - 1);
    }
    uint32_t code = parse_hex();
    if (code >= 0xd800 && code <= 0xdbff && end_ - at_ >= 2 && at_[0] == '\\' && at_[1] == 'u') {
      const char* before = at_;
      at_ += 2;
      uint32_t low = parse_hex();
      if (low >= 0xdc00 && low <= 0xdfff) {
        unicode::append_utf8(*out, 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
        return;
      }
      at_ = before;
    }
    unicode::append_utf8(*out, code);
  }

  uint32_t parse_hex() {
    uint32_t code = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      if (at_ == end_) fail("four hexadecimal digits", at_);
      char c = *at_, lower = static_cast<char>(c | 0x20);
      if (is_digit(c))
        code = code * 16 + static_cast<uint32_t>(c - '0');
      else if (lower >= 'a' && lower <= 'f')
        code = code * 16 + static_cast<uint32_t>(lower - 'a' + 10);
      else
        fail("four hexadecimal digits", at_);
    }
    return code;
  }

  void digits(const char* what) {
    if (at_ == end_ || !is_digit(*at_)) fail(what, at_);
    while (at_ < end_ && is_digit(*at_)) ++at_;
  }

  double parse_number() {
    const char* start = at_;
    bool negative = accept('-');
    if (!accept('0')) digits(negative ? "a digit after '-'" : "a value");
    if (accept('.')) digits("a digit after '.'");
    if (at_ < end_ && (*at_ == 'e' || *at_ == 'E')) {
      ++at_;
      if (!accept('+')) accept('-');
      digits("a digit of the exponent");
    }
    double value = 0;
#if defined(__cpp_lib_to_chars)
    bool fits = std::from_chars(start, at_, value).ec == std::errc();
#else
    // Standard libraries without from_chars for doubles: a stream in the C locale gives the same digits,
    // slower.
    std::istringstream stream(std::string(start, at_));
    stream.imbue(std::locale::classic());
    bool fits = static_cast<bool>(stream >> value);
#endif
    if (fits) return value;
    if (!is_too_small({start, static_cast<size_t>(at_ - start)}))
      fail("a number that a double can hold", start);
    return negative ? -0.0 : 0.0;  // as JSON.parse has it
  }

  const char* begin_;
  const char* at_;
  const char* end_;
  const Json::Source& source_;
  int64_t values_ = 0;
};

Json Json::parse(std::string_view text, const Source& source) { return JsonParser(text, source).document(); }

const Json* Json::find(std::string_view key) const {
  for (const auto& member : object())
    if (member.first == key) return &member.second;
  return nullptr;
}

std::string Json::describe() const {
  switch (type()) {
    case Type::kNull:
      return "null";
    case Type::kBool:
      return boolean() ? "true" : "false";
    case Type::kNumber:
      return str("the number ", number());
    case Type::kString:
      break;
    case Type::kArray:
      return "an array";
    case Type::kObject:
      return "an object";
  }
  constexpr size_t kShown = 60;
  return str("the string \"", string().substr(0, kShown), string().size() > kShown ? "...\"" : "\"");
}

}  // namespace albert
