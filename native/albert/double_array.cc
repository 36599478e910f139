// Builds the double array: each node looks for the first free place where all its children fit.
#include "double_array.h"

#include <algorithm>

#include "support/error.h"

namespace albert {

class DoubleArrayBuilder {
 public:
  explicit DoubleArrayBuilder(std::vector<DoubleArray::Node>* nodes) : nodes_(*nodes) {
    add_block();
    take(DoubleArray::kRoot);
    base_used_[kLeafBase] = true;
  }

  void build(const std::vector<DoubleArray::Key>& keys) {
    // An explicit stack, so that the length of keys costs no recursion.
    std::vector<Range> stack{{0, keys.size(), 0, DoubleArray::kRoot}};
    std::vector<Range> children;
    while (!stack.empty()) {
      Range range = stack.back();
      stack.pop_back();
      if (range.first < range.last && keys[range.first].first.size() == range.depth)
        nodes_[range.node].value = keys[range.first++].second;
      children.clear();
      for (size_t i = range.first; i < range.last; ++i) {
        const auto label = static_cast<unsigned char>(keys[i].first[range.depth]);
        if (children.empty() || children.back().node != label)
          children.push_back({i, i, range.depth + 1, label});
        children.back().last = i + 1;
      }
      const uint32_t base = children.empty() ? kLeafBase : find_base(children);
      nodes_[range.node].base_and_label |= base << DoubleArray::kLabelBits;
      for (Range& child : children) {
        const uint32_t label = child.node;
        child.node = base ^ label;
        take(child.node);
        nodes_[child.node].base_and_label = label;
        stack.push_back(child);
      }
    }
  }

 private:
  // Keys [first, last) share the path to `node`, which is `depth` bytes long; among children `node` is still
  // the label.
  struct Range {
    size_t first, last, depth;
    uint32_t node;
  };

  static constexpr uint32_t kBlock = 256;
  // Only the last blocks are searched, as darts-clone does, which keeps building linear.
  static constexpr uint32_t kOpenBlocks = 16;
  // The base of nodes without children: no node with children has it, so that no label there can match.
  static constexpr uint32_t kLeafBase = 1;
  static constexpr uint32_t kMaxNodes = 1u << (32 - DoubleArray::kLabelBits);
  static constexpr uint32_t kEnd = ~0u;        // no next or previous slot
  static constexpr uint32_t kTaken = ~0u - 1;  // not in the list of free slots

  void add_block() {
    const auto begin = static_cast<uint32_t>(nodes_.size());
    check(begin + kBlock <= kMaxNodes, ErrorCode::kTokenizer,
          "the vocabulary is too large: its pieces need more than ", kMaxNodes, " trie nodes");
    nodes_.resize(begin + kBlock);
    base_used_.resize(begin + kBlock);
    next_.resize(begin + kBlock);
    previous_.resize(begin + kBlock);
    for (uint32_t slot = begin; slot < begin + kBlock; ++slot) {
      previous_[slot] = tail_;
      next_[slot] = kEnd;
      (tail_ == kEnd ? head_ : next_[tail_]) = slot;
      tail_ = slot;
    }
    // Slots of a block that is no longer searched leave the list; they stay free for ever.
    if (nodes_.size() / kBlock > kOpenBlocks)
      while (head_ < nodes_.size() - kOpenBlocks * kBlock) take(head_);
  }

  void take(uint32_t slot) {
    (previous_[slot] == kEnd ? head_ : next_[previous_[slot]]) = next_[slot];
    (next_[slot] == kEnd ? tail_ : previous_[next_[slot]]) = previous_[slot];
    previous_[slot] = kTaken;
  }
  bool is_free(uint32_t slot) const { return previous_[slot] != kTaken; }

  uint32_t find_base(const std::vector<Range>& children) {
    for (uint32_t slot = head_;; slot = next_[slot]) {
      if (slot == kEnd) {
        slot = static_cast<uint32_t>(nodes_.size());
        add_block();
      }
      const uint32_t base = slot ^ children[0].node;
      if (base_used_[base]) continue;
      bool fits = true;
      for (size_t i = 1; i < children.size() && fits; ++i) fits = is_free(base ^ children[i].node);
      if (!fits) continue;
      base_used_[base] = true;
      return base;
    }
  }

  std::vector<DoubleArray::Node>& nodes_;
  std::vector<bool> base_used_;
  std::vector<uint32_t> next_, previous_;  // the free slots, in order
  uint32_t head_ = kEnd, tail_ = kEnd;
};

DoubleArray::DoubleArray(std::vector<Key> keys, const std::string& name) {
  for (const Key& key : keys)
    check(key.first.size() <= kMaxKeyBytes, ErrorCode::kTokenizer, name, ": expected at most ", kMaxKeyBytes,
          " bytes for a piece but number ", key.second, " has ", key.first.size(),
          "; the file is damaged or of another kind");
  std::sort(keys.begin(), keys.end());
  for (size_t i = 1; i < keys.size(); ++i)
    check(keys[i - 1].first != keys[i].first, ErrorCode::kTokenizer, name, ": piece '", keys[i].first,
          "' is defined twice, as ids ", keys[i - 1].second, " and ", keys[i].second);
  DoubleArrayBuilder(&nodes_).build(keys);
}

int32_t DoubleArray::longest_prefix(std::string_view text, size_t* length) const {
  int32_t found = kNoValue;
  uint32_t node = kRoot;
  for (size_t i = 0; i < text.size() && step(&node, static_cast<unsigned char>(text[i])); ++i) {
    if (value(node) == kNoValue) continue;
    found = value(node);
    *length = i + 1;
  }
  return found;
}

int32_t DoubleArray::find(std::string_view key) const {
  uint32_t node = kRoot;
  for (const char byte : key)
    if (!step(&node, static_cast<unsigned char>(byte))) return kNoValue;
  return value(node);
}

}  // namespace albert
