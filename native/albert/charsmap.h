// SentencePiece's precompiled character map: longest-prefix rewriting rules (NFKC and more) in a darts-clone
// trie.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace albert {

class Charsmap {
 public:
  Charsmap() { plain_.fill(true); }
  // `blob` as normalizer_spec.precompiled_charsmap holds it: the trie's byte length (u32, little endian), the
  // trie's units, then NUL-terminated replacements. Throws Error{kTokenizer} when the parts do not fit;
  // `name` is the file's.
  Charsmap(std::string_view blob, const std::string& name);

  struct Match {
    size_t length = 0;  // bytes of the text that the rule replaces; 0: no rule applies
    std::string_view replacement;
  };
  // The longest rule that `text` starts with. Throws Error{kTokenizer} when a damaged trie leads outside
  // itself.
  Match longest_match(std::string_view text) const;

  // True when no rule applies to this ASCII character while ASCII or the end follows it.
  bool is_plain(unsigned char ascii) const { return plain_[ascii]; }

 private:
  uint32_t unit(size_t index) const;
  [[noreturn]] void fail() const;

  std::string name_;
  std::vector<uint32_t> trie_;
  std::string replacements_;
  std::array<bool, 128> plain_;
};

}  // namespace albert
