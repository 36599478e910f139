// A pickle interpreter that runs nothing: it knows the opcodes and the few names torch's tensors need, and
// refuses the rest.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace albert {

// Values refer to each other by index, so that cyclic pickles neither leak nor recurse.
class Pickle {
 public:
  enum class Kind { kNone, kBool, kInt, kFloat, kString, kTuple, kList, kDict, kGlobal, kStorage, kTensor };
  using Ref = uint32_t;

  struct Value {
    Kind kind = Kind::kNone;
    int64_t integer = 0;  // kBool, kInt; the nearest to one that needs more than 64 bits
    std::string text;  // kString; 'module.name' of kGlobal; the bytes of a kInt that needs more than 64 bits
    std::vector<Ref> items;  // kTuple, kList; kDict: key, value, key, value; kStorage: its persistent id;
                             // kTensor: storage, offset, size, stride and what follows
  };

  static constexpr size_t kMaxValues = 1000000;
  static constexpr size_t kMaxText = 1 << 20;

  // Reads one pickle from the start of `bytes` and sets `consumed` to its length. Throws Error{kCheckpoint}
  // that starts with `name` and says at which byte (counted from `offset`) what was refused.
  static Pickle parse(std::string_view bytes, const std::string& name, size_t offset, size_t* consumed);

  const Value& root() const { return values_[root_]; }
  const Value& at(Ref ref) const { return values_[ref]; }
  size_t size() const { return values_.size(); }

  // The value of a string key of a kDict, or null; the last one when the key repeats.
  const Value* find(const Value& dict, std::string_view key) const;

 private:
  friend class PickleReader;
  std::vector<Value> values_;
  Ref root_ = 0;
};

}  // namespace albert
