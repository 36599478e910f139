// Walks the darts-clone units of the character map, whose indices nothing else has checked.
#include "charsmap.h"

#include "support/error.h"

namespace albert {
namespace {

// The layout of a darts-clone unit (Susumu Yata, darts-clone, class DoubleArrayUnit).
bool has_leaf(uint32_t unit) { return unit >> 8 & 1; }
uint32_t value(uint32_t unit) { return unit & 0x7FFFFFFF; }
uint32_t label(uint32_t unit) { return unit & 0x800000FF; }  // a leaf's top bit makes it match no byte
uint32_t offset(uint32_t unit) { return unit >> 10 << ((unit & 1u << 9) >> 6); }

// The longest real one, that of U+FDFA, has 33 bytes; a damaged map must not turn a text into gigabytes.
constexpr size_t kMaxReplacement = 256;

uint32_t little_endian(const char* bytes) {
  uint32_t result = 0;
  for (int i = 3; i >= 0; --i) result = result << 8 | static_cast<unsigned char>(bytes[i]);
  return result;
}

}  // namespace

Charsmap::Charsmap(std::string_view blob, const std::string& name) : Charsmap() {
  name_ = name;
  if (blob.empty()) return;
  const size_t trie_bytes = blob.size() < 4 ? 0 : little_endian(blob.data());
  if (trie_bytes < 4 || trie_bytes % 4 != 0 || trie_bytes > blob.size() - 4 || blob.back() != '\0') fail();
  for (size_t i = 0; i < trie_bytes; i += 4) trie_.push_back(little_endian(blob.data() + 4 + i));
  replacements_ = blob.substr(4 + trie_bytes);

  const size_t root = offset(unit(0));
  for (uint32_t c = 0; c < 128; ++c) {
    if ((root ^ c) >= trie_.size() || label(unit(root ^ c)) != c) continue;
    const size_t children = (root ^ c) ^ offset(unit(root ^ c));
    plain_[c] = !has_leaf(unit(root ^ c));
    for (uint32_t next = 0; next < 128 && plain_[c]; ++next)
      plain_[c] = (children ^ next) >= trie_.size() || label(unit(children ^ next)) != next;
  }
}

void Charsmap::fail() const {
  throw Error(
      ErrorCode::kTokenizer,
      name_ +
          ": the character map (precompiled_charsmap) is damaged; take the vocabulary from its source again");
}

uint32_t Charsmap::unit(size_t index) const {
  if (index >= trie_.size()) fail();
  return trie_[index];
}

Charsmap::Match Charsmap::longest_match(std::string_view text) const {
  Match match;
  if (trie_.empty()) return match;
  size_t found = 0;
  size_t node = offset(trie_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    const uint32_t here = unit(node);
    if (label(here) != byte) break;
    node ^= offset(here);
    if (!has_leaf(here)) continue;
    found = value(unit(node));
    match.length = i + 1;
  }
  if (match.length == 0) return match;
  if (found >= replacements_.size()) fail();
  const char* start = replacements_.c_str() + found;
  // It ends at a NUL within the blob, at the latest at its last byte.
  match.replacement = std::string_view(start);
  if (match.replacement.size() > kMaxReplacement) fail();
  return match;
}

}  // namespace albert
