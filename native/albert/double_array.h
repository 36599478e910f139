// A double-array trie over bytes: which of a set of strings start at a position of a text, one array access a
// byte.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace albert {

// Built once. The layout follows J. Aoe, "An Efficient Digital Search Algorithm by Using a
// Double-Array Structure" (1989), with the label check and the XOR addressing of darts-clone: the child of
// node n for byte b is slot base(n) ^ b, and it is n's child exactly when its label is b, because no two
// nodes share a base.
class DoubleArray {
 public:
  // Looking for keys in a text takes time in proportion to the text times the longest key.
  static constexpr size_t kMaxKeyBytes = 1024;
  static constexpr int32_t kNoValue = -1;
  static constexpr uint32_t kRoot = 0;
  using Key = std::pair<std::string_view, int32_t>;  // bytes and value, which must not be negative

  DoubleArray() : DoubleArray({}, "") {}
  // Keys must not be empty. Throws Error{kTokenizer} when one is longer than kMaxKeyBytes, when two are the
  // same, and when they need more than 2^23 nodes; `name` is what errors call where they come from.
  DoubleArray(std::vector<Key> keys, const std::string& name);

  // Moves to the child for `byte`; false, and `node` is of no more use, when there is none.
  bool step(uint32_t* node, unsigned char byte) const {
    const uint32_t next = (nodes_[*node].base_and_label >> kLabelBits) ^ byte;
    *node = next;
    return (nodes_[next].base_and_label & kLabelMask) == byte;
  }
  // The value of the key that ends at the node, or kNoValue.
  int32_t value(uint32_t node) const { return nodes_[node].value; }

  // The longest key that `text` starts with: its value and, in `length`, its bytes; kNoValue when there is
  // none.
  int32_t longest_prefix(std::string_view text, size_t* length) const;
  // The value of a key, or kNoValue when there is none.
  int32_t find(std::string_view key) const;

 private:
  friend class DoubleArrayBuilder;
  static constexpr int kLabelBits = 9;  // a byte, or kNoLabel
  static constexpr uint32_t kLabelMask = (1u << kLabelBits) - 1;
  static constexpr uint32_t kNoLabel = 256;
  struct Node {
    uint32_t base_and_label = kNoLabel;
    int32_t value = kNoValue;
  };
  std::vector<Node> nodes_;  // a multiple of 256, so that base ^ byte never leaves it
};

}  // namespace albert
