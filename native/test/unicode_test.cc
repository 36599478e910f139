// Tests the generated Unicode tables, the codecs, and the trie under the tokenizers.
#include "albert/unicode.h"

#include <algorithm>

#include "albert/double_array.h"
#include "support/error.h"
#include "test.h"

namespace albert {
namespace {

std::u32string decompose(char32_t c, unicode::Form form) {
  char32_t out[unicode::kMaxDecomposition];
  return std::u32string(out, static_cast<size_t>(unicode::Tables::get().decompose(c, form, out)));
}

TEST(unicode_decomposes) {
  using unicode::Form;
  EXPECT(decompose(U'a', Form::kCompatibility) == U"a");
  EXPECT(decompose(0xE9, Form::kCanonical) == U"e\u0301");
  EXPECT(decompose(0x1E9B, Form::kCanonical) == U"\u017F\u0307");
  EXPECT(decompose(0x1E9B, Form::kCompatibility) == U"s\u0307");
  EXPECT(decompose(0xBD, Form::kCanonical) == U"\u00BD");
  EXPECT(decompose(0xBD, Form::kCompatibility) == U"1\u20442");
  EXPECT(decompose(0xAC01, Form::kCompatibility) == U"\u1100\u1161\u11A8");
  EXPECT(decompose(0xAC00, Form::kCanonical) == U"\u1100\u1161");
  EXPECT(decompose(0xFDFA, Form::kCompatibility).size() == 18);
}

TEST(unicode_knows_properties_and_lower_case) {
  const unicode::Tables& tables = unicode::Tables::get();
  EXPECT(tables.has(0x301, unicode::kCombining) && tables.has(0x334, unicode::kCombining));
  // Marks of class 0 are no combining characters in the sense of ALBERT's preparation.
  EXPECT(!tables.has(0x903, unicode::kCombining) && !tables.has(0x20DD, unicode::kCombining) &&
         !tables.has('a', unicode::kCombining));
  EXPECT(tables.has(U'Σ', unicode::kCased) && tables.has(U'\'', unicode::kCaseIgnorable));
  EXPECT(tables.has(0x661, unicode::kDigit) && tables.has(0xB2, unicode::kDigit) &&
         !tables.has(0xBD, unicode::kDigit));
  EXPECT(tables.properties(0x110000) == 0);
  char32_t out[unicode::kMaxLower];
  EXPECT(tables.lower(0x130, out) == 2 && out[0] == 'i' && out[1] == 0x307);
  EXPECT(tables.lower(0x1E9E, out) == 1 && out[0] == 0xDF);
}

TEST(unicode_codecs_agree) {
  for (char32_t c = 1; c <= 0x10FFFF; c += c < 0x3000 ? 1 : 97) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string utf8;
    unicode::append_utf8(utf8, c);
    size_t length = 0;
    EXPECT(unicode::decode_utf8(utf8 + "a", &length) == c && length == utf8.size(), static_cast<uint32_t>(c));
    int units = 0;
    const std::u16string utf16 = unicode::to_utf16(utf8);
    EXPECT(unicode::decode_utf16(utf16, 0, &units) == c && static_cast<size_t>(units) == utf16.size());
  }
  for (const char* bad :
       {"\x80", "\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF5\x80\x80\x80", "\xF0\x80", "\xC3"}) {
    size_t length = 0;
    EXPECT(unicode::decode_utf8(bad, &length) == unicode::kReplacement && length == 1);
  }
}

TEST(double_array_finds_longest_prefixes) {
  std::vector<std::string> words;
  uint32_t random = 7;
  for (int i = 0; i < 5000; ++i) {
    std::string word;
    for (int length = 1 + i % 9; length > 0; --length)
      word += static_cast<char>((random = random * 1664525 + 1013904223) >> 27);
    words.push_back(word);
  }
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  std::vector<DoubleArray::Key> keys;
  for (size_t i = 0; i < words.size(); ++i) keys.emplace_back(words[i], static_cast<int32_t>(i));
  const DoubleArray trie(keys, "words");
  size_t length = 0;
  for (size_t i = 0; i < words.size(); ++i)
    EXPECT(trie.longest_prefix(words[i], &length) == static_cast<int32_t>(i) && length == words[i].size() &&
               trie.find(words[i]) == static_cast<int32_t>(i),
           i);
  EXPECT(trie.longest_prefix("zzz", &length) == DoubleArray::kNoValue &&
         trie.find("zzz") == DoubleArray::kNoValue);
  EXPECT(trie.find(words[0] + "z") == DoubleArray::kNoValue && trie.find("") == DoubleArray::kNoValue);
  EXPECT(DoubleArray().longest_prefix(std::string(1, '\0'), &length) == DoubleArray::kNoValue);
}

}  // namespace
}  // namespace albert
