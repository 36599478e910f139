// Expands the generated Unicode tables and turns UTF-8 into UTF-16.
#include "unicode.h"

#include <cstring>
#include <iterator>

namespace albert::unicode {
namespace {

#include "unicode_tables.inc"

// Reads the base-64 numbers that scripts/generate-unicode.cjs writes.
class NumberReader {
 public:
  NumberReader(const char* const* lines, size_t count) : line_(lines), end_(lines + count), at_(*lines) {}
  bool done() {
    if (*at_ == 0 && ++line_ != end_) at_ = *line_;
    return line_ == end_;
  }
  uint32_t number() {
    uint32_t value = 0;
    for (int shift = 0; !done(); shift += 5) {
      const uint32_t digit = digit_value(*at_++);
      value |= (digit & 31) << shift;
      if (digit < 32) break;
    }
    return value;
  }
  int32_t signed_number() {
    const uint32_t value = number();
    return value & 1 ? -static_cast<int32_t>(value >> 1) : static_cast<int32_t>(value >> 1);
  }

 private:
  static uint32_t digit_value(char digit) {
    if (digit >= 'A' && digit <= 'Z') return digit - 'A';
    if (digit >= 'a' && digit <= 'z') return digit - 'a' + 26;
    if (digit >= '0' && digit <= '9') return digit - '0' + 52;
    return digit == '+' ? 62 : 63;
  }
  const char* const* line_;
  const char* const* end_;
  const char* at_;
};

template <size_t N>
NumberReader reader_of(const char* const (&lines)[N]) {
  return NumberReader(lines, N);
}

// The Hangul arithmetic of The Unicode Standard, section 3.12.
constexpr char32_t kHangulFirst = 0xAC00, kHangulLast = 0xD7A3, kLeads = 0x1100, kVowels = 0x1161,
                   kTails = 0x11A7;
constexpr char32_t kTailCount = 28, kVowelTailCount = 21 * 28;

}  // namespace

const Tables& Tables::get() {
  static const Tables tables;
  return tables;
}

Tables::Tables() {
  NumberReader runs = reader_of(kPropertyRuns);
  for (char32_t c = 0; !runs.done();) {
    c += runs.number();
    const char32_t end = c + runs.number();
    for (const uint32_t value = runs.number(); c < end; ++c) properties_.set(c, static_cast<uint8_t>(value));
  }
  NumberReader lowers = reader_of(kLowerRuns);
  for (char32_t c = 0; !lowers.done();) {
    c += lowers.number();
    const char32_t end = c + lowers.number();
    for (const int32_t difference = lowers.signed_number(); c < end; ++c) lower_.set(c, difference);
  }
  canonical_.read(kCanonicalMappings, std::size(kCanonicalMappings));
  compatibility_.read(kCompatibilityMappings, std::size(kCompatibilityMappings));
}

void Tables::Decompositions::read(const char* const* lines, size_t line_count) {
  NumberReader mappings(lines, line_count);
  int32_t target = 0;
  for (char32_t c = 0; !mappings.done(); ++c) {
    c += mappings.number();
    first.push_back(static_cast<uint16_t>(targets.size()));
    index.set(c, static_cast<uint16_t>(first.size()));
    for (uint32_t left = mappings.number(); left > 0; --left)
      targets.push_back(static_cast<char32_t>(target += mappings.signed_number()));
  }
  first.push_back(static_cast<uint16_t>(targets.size()));
}

int Tables::Decompositions::get(char32_t c, char32_t* out) const {
  const uint16_t entry = index[c];
  if (entry == 0) return 0;
  const int count = first[entry] - first[entry - 1];
  std::memcpy(out, &targets[first[entry - 1]], count * sizeof(char32_t));
  return count;
}

int Tables::decompose(char32_t c, Form form, char32_t out[kMaxDecomposition]) const {
  if (c >= kHangulFirst && c <= kHangulLast) {
    const char32_t syllable = c - kHangulFirst;
    out[0] = kLeads + syllable / kVowelTailCount;
    out[1] = kVowels + syllable % kVowelTailCount / kTailCount;
    out[2] = kTails + syllable % kTailCount;
    return out[2] == kTails ? 2 : 3;
  }
  int count = form == Form::kCompatibility ? compatibility_.get(c, out) : 0;
  if (count == 0) count = canonical_.get(c, out);
  if (count > 0) return count;
  out[0] = c;
  return 1;
}

int Tables::lower(char32_t c, char32_t out[kMaxLower]) const {
  out[0] = c + static_cast<char32_t>(lower_[c]);
  if (c != 0x130) return 1;
  out[1] = 0x307;  // the one unconditional mapping of SpecialCasing.txt that lengthens
  return 2;
}

std::u16string to_utf16(std::string_view text) {
  std::u16string out;
  for (size_t length = 0; !text.empty(); text.remove_prefix(length)) {
    const char32_t c = decode_utf8(text, &length);
    if (c >= 0x10000) {
      out += static_cast<char16_t>(0xD800 + ((c - 0x10000) >> 10));
      out += static_cast<char16_t>(0xDC00 + ((c - 0x10000) & 0x3FF));
    } else {
      out += static_cast<char16_t>(c);
    }
  }
  return out;
}

}  // namespace albert::unicode
