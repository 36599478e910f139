// Character properties, case mapping and decompositions that the tokenizers need, and UTF-16.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "support/utf8.h"

namespace albert::unicode {

// The order of the bits is that of kProperties in scripts/generate-unicode.cjs.
enum Property : uint8_t {
  kCombining = 1 << 0,  // canonical combining class other than 0
  kCased = 1 << 1,
  kCaseIgnorable = 1 << 2,
  kControl = 1 << 3,  // categories Cc and Cf
  kNonspacingMark = 1 << 4,
  kPunctuation = 1 << 5,     // categories P*
  kSpaceSeparator = 1 << 6,  // category Zs
  kDigit = 1 << 7,           // Numeric_Type Decimal or Digit: Python's str.isdigit
};

enum class Form { kCanonical, kCompatibility };  // NFD, NFKD

constexpr int kMaxDecomposition = 18;  // U+FDFA
constexpr int kMaxLower = 2;           // U+0130

// The whitespace of Python's str.split and str.strip.
inline bool is_python_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

// Values of code points in pages of 256, of which the empty ones share one.
template <typename Value>
class PageTable {
 public:
  PageTable() : pages_(0x1100, 0), values_(256, Value{}) {}
  Value operator[](char32_t c) const {
    return c > 0x10FFFF ? Value{} : values_[static_cast<size_t>(pages_[c >> 8]) << 8 | (c & 255)];
  }
  void set(char32_t c, Value value) {
    uint16_t& page = pages_[c >> 8];
    if (page == 0) {
      page = static_cast<uint16_t>(values_.size() >> 8);
      values_.resize(values_.size() + 256, Value{});
    }
    values_[static_cast<size_t>(page) << 8 | (c & 255)] = value;
  }

 private:
  std::vector<uint16_t> pages_;
  std::vector<Value> values_;
};

// The generated tables, expanded. One constant instance: it takes well under a millisecond to build.
class Tables {
 public:
  static const Tables& get();

  uint8_t properties(char32_t c) const { return properties_[c]; }
  bool has(char32_t c, uint8_t any_of) const { return properties_[c] & any_of; }

  // Full decomposition of one character, itself when it has none; returns the number of code points. Marks
  // are not brought into canonical order: both users drop them.
  int decompose(char32_t c, Form form, char32_t out[kMaxDecomposition]) const;
  // Full lower-case mapping without context (U+03A3 gives U+03C3); returns the number of code points.
  int lower(char32_t c, char32_t out[kMaxLower]) const;

 private:
  Tables();
  struct Decompositions {
    PageTable<uint16_t> index;  // 1 + index into `first`
    std::vector<uint16_t> first;
    std::vector<char32_t> targets;
    void read(const char* const* lines, size_t line_count);
    int get(char32_t c, char32_t* out) const;
  };
  PageTable<uint8_t> properties_;
  PageTable<int32_t> lower_;
  Decompositions canonical_;
  Decompositions compatibility_;
};

// The character at text[at] and its length in units; a lone surrogate is U+FFFD of length 1.
inline char32_t decode_utf16(std::u16string_view text, size_t at, int* length) {
  const char16_t unit = text[at];
  *length = 1;
  if (unit < 0xD800 || unit > 0xDFFF) return unit;
  if (unit > 0xDBFF || at + 1 >= text.size() || text[at + 1] < 0xDC00 || text[at + 1] > 0xDFFF)
    return kReplacement;
  *length = 2;
  return 0x10000 + ((static_cast<char32_t>(unit) - 0xD800) << 10) + (text[at + 1] - 0xDC00);
}

std::u16string to_utf16(std::string_view text);

}  // namespace albert::unicode
