// The opcode loop of the restricted unpickler; opcodes as in Python's pickletools, protocols 2 to 5.
#include "pickle.h"

#include <algorithm>
#include <iterator>
#include <limits>

#include "error.h"

namespace albert {
namespace {

// The whole vocabulary of a state dictionary. None of these is called: each has its meaning in reduce().
constexpr std::string_view kGlobals[] = {
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_parameter",
    "torch.Size",
    "torch.FloatStorage",
    "torch.HalfStorage",
    "torch.BFloat16Storage",
    "torch.DoubleStorage",
    "torch.LongStorage",
    "torch.IntStorage",
    "torch.ShortStorage",
    "torch.CharStorage",
    "torch.ByteStorage",
    "torch.BoolStorage",
};

constexpr Pickle::Ref kNoneRef = 0, kFalseRef = 1, kTrueRef = 2;

}  // namespace

class PickleReader {
 public:
  PickleReader(std::string_view bytes, const std::string& name, size_t offset)
      : bytes_(bytes), name_(name), offset_(offset) {
    values().resize(3);
    values()[kFalseRef].kind = values()[kTrueRef].kind = Pickle::Kind::kBool;
    values()[kTrueRef].integer = 1;
  }

  Pickle run(size_t* consumed) {
    while (step()) {
    }
    *consumed = at_;
    return std::move(pickle_);
  }

 private:
  using Kind = Pickle::Kind;
  using Ref = Pickle::Ref;

  template <typename... Args>
  [[noreturn]] void fail(const Args&... args) const {
    throw Error(ErrorCode::kCheckpoint, str(name_, ": pickle at byte ", offset_ + start_, ": ", args...));
  }

  std::vector<Pickle::Value>& values() { return pickle_.values_; }

  // Executes one opcode; false after STOP.
  bool step() {
    start_ = at_;
    unsigned op = byte();
    // clang-format off
    switch (op) {
      case 0x80: protocol(byte()); break;
      case 0x95: number(8); break;  // FRAME: only a hint for readers of streams
      case '.': return stop();
      case '(': mark(); break;
      case 'N': push(kNoneRef); break;
      case 0x88: push(kTrueRef); break;
      case 0x89: push(kFalseRef); break;
      case 'K': push_int(static_cast<int64_t>(number(1))); break;
      case 'M': push_int(static_cast<int64_t>(number(2))); break;
      case 'J': push_int(static_cast<int32_t>(number(4))); break;
      case 0x8a: push_long(number(1)); break;
      case 'G': number(8), add(Kind::kFloat); break;
      case 'X': case 'T': case 'B': push_string(number(4)); break;
      case 0x8c: case 'U': case 'C': push_string(number(1)); break;
      case 0x8d: case 0x8e: push_string(number(8)); break;
      case '}': add(Kind::kDict); break;
      case ']': add(Kind::kList); break;
      case ')': add(Kind::kTuple); break;
      case 't': collect(Kind::kTuple, since_mark()); break;
      case 'l': collect(Kind::kList, since_mark()); break;
      case 0x85: case 0x86: case 0x87: collect(Kind::kTuple, op - 0x84); break;
      case 's': append(Kind::kDict, 2); break;
      case 'u': append(Kind::kDict, since_mark()); break;
      case 'a': append(Kind::kList, 1); break;
      case 'e': append(Kind::kList, since_mark()); break;
      case 'q': remember(number(1)); break;
      case 'r': remember(number(4)); break;
      case 0x94: remember(memo_.size()); break;
      case 'h': recall(number(1)); break;
      case 'j': recall(number(4)); break;
      case 'c': module_global(); break;
      case 0x93: stack_global(); break;
      case 'R': reduce(); break;
      case 'Q': persistent(); break;
      case 'b': pop(), top(); break;  // BUILD: attributes such as OrderedDict._metadata hold no tensors
      default: refuse_opcode(op);
    }
    // clang-format on
    return true;
  }

  unsigned byte() {
    if (at_ == bytes_.size()) fail("the pickle ends before its STOP; the file is truncated");
    return static_cast<unsigned char>(bytes_[at_++]);
  }

  uint64_t number(int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; ++i) value |= static_cast<uint64_t>(byte()) << (8 * i);
    return value;
  }

  std::string text(uint64_t length) {
    if (length > Pickle::kMaxText || length > bytes_.size() - at_)
      fail("a string of ", length, " bytes, expected at most ",
           std::min(Pickle::kMaxText, bytes_.size() - at_));
    std::string out(bytes_.substr(at_, static_cast<size_t>(length)));
    at_ += static_cast<size_t>(length);
    return out;
  }

  std::string line() {
    size_t end = bytes_.substr(at_).find('\n');
    if (end == std::string_view::npos) fail("a name without an end; the file is truncated");
    std::string out = text(end);
    ++at_;
    return out;
  }

  Ref create(Kind kind) {
    if (values().size() >= Pickle::kMaxValues) fail("more than ", Pickle::kMaxValues, " values");
    values().emplace_back().kind = kind;
    return static_cast<Ref>(values().size() - 1);
  }

  void push(Ref ref) {
    if (stack_.size() >= Pickle::kMaxValues) fail("more than ", Pickle::kMaxValues, " values on the stack");
    stack_.push_back(ref);
  }

  void mark() {
    if (marks_.size() >= Pickle::kMaxValues) fail("more than ", Pickle::kMaxValues, " marks");
    marks_.push_back(stack_.size());
  }

  Pickle::Value& add(Kind kind) {
    push(create(kind));
    return values().back();
  }

  void push_int(int64_t value) { add(Kind::kInt).integer = value; }

  void push_long(uint64_t length) {
    std::string digits = text(length);
    const bool negative = !digits.empty() && (digits.back() & 0x80);
    uint64_t value = 0;
    for (size_t i = 0; i < 8; ++i) {
      unsigned char digit = i < digits.size() ? static_cast<unsigned char>(digits[i]) : negative ? 0xff : 0;
      value |= static_cast<uint64_t>(digit) << (8 * i);
    }
    Pickle::Value& out = add(Kind::kInt);
    out.integer = static_cast<int64_t>(value);
    if (length <= 8) return;
    out.integer = negative ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int64_t>::max();
    out.text = std::move(digits);
  }

  void push_string(uint64_t length) {
    std::string content = text(length);
    add(Kind::kString).text = std::move(content);
  }

  // An opcode may not reach below the last mark: what lies there belongs to an unfinished collection.
  Ref top() const {
    if (stack_.empty() || (!marks_.empty() && stack_.size() <= marks_.back())) fail("the stack is empty");
    return stack_.back();
  }

  Ref pop() {
    Ref ref = top();
    stack_.pop_back();
    return ref;
  }

  size_t since_mark() {
    if (marks_.empty()) fail("no mark on the stack");
    size_t count = stack_.size() - marks_.back();
    marks_.pop_back();
    return count;
  }

  std::vector<Ref> take(size_t count) {
    size_t floor = marks_.empty() ? 0 : marks_.back();
    if (stack_.size() - floor < count) fail("too few values on the stack");
    std::vector<Ref> items(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return items;
  }

  void collect(Kind kind, size_t count) {
    std::vector<Ref> items = take(count);
    add(kind).items = std::move(items);
  }

  void append(Kind kind, size_t count) {
    std::vector<Ref> items = take(count);
    Pickle::Value& target = values()[top()];
    if (target.kind != kind || (kind == Kind::kDict && count % 2))
      fail("items added to a value that is no ", kind == Kind::kDict ? "dictionary" : "list");
    target.items.insert(target.items.end(), items.begin(), items.end());
  }

  void remember(uint64_t key) {
    constexpr uint64_t kAhead = 1024;  // picklers number their memo without gaps
    if (key >= Pickle::kMaxValues || key > memo_.size() + kAhead) fail("memo index ", key, " out of order");
    if (key >= memo_.size()) memo_.resize(static_cast<size_t>(key) + 1, kUnset);
    memo_[static_cast<size_t>(key)] = top();
  }

  void recall(uint64_t key) {
    if (key >= memo_.size() || memo_[static_cast<size_t>(key)] == kUnset)
      fail("memo index ", key, " was never set");
    push(memo_[static_cast<size_t>(key)]);
  }

  void global(const std::string& module, const std::string& name) {
    std::string full = module + "." + name;
    if (std::find(std::begin(kGlobals), std::end(kGlobals), full) == std::end(kGlobals))
      fail("refused to load '", full.substr(0, 200),
           "': a state dictionary of tensors needs no such object, and loading it "
           "could run code; save model.state_dict() instead, best as safetensors");
    add(Kind::kGlobal).text = std::move(full);
  }

  void module_global() {
    std::string module = line();
    global(module, line());
  }

  void stack_global() {
    Ref name = pop(), module = pop();
    if (values()[name].kind != Kind::kString || values()[module].kind != Kind::kString)
      fail("STACK_GLOBAL without two strings");
    global(values()[module].text, values()[name].text);
  }

  void reduce() {
    Ref args_ref = pop(), callee = pop();
    if (values()[callee].kind != Kind::kGlobal || values()[args_ref].kind != Kind::kTuple)
      fail("REDUCE of something else than a known function and a tuple");
    const std::string function = values()[callee].text;
    constexpr size_t kMaxArguments = 16;
    if (values()[args_ref].items.size() > kMaxArguments)
      fail("'", function, "' with ", values()[args_ref].items.size(), " arguments");
    std::vector<Ref> args = values()[args_ref].items;
    if (function == "collections.OrderedDict") {
      ordered_dict(args);
    } else if (function == "torch.Size" && args.size() == 1) {
      push(args[0]);
    } else if (function == "torch._utils._rebuild_parameter" && !args.empty() &&
               values()[args[0]].kind == Kind::kTensor) {
      push(args[0]);
    } else if (function.rfind("torch._utils._rebuild_tensor", 0) == 0 && args.size() >= 4) {
      add(Kind::kTensor).items = std::move(args);
    } else {
      fail("'", function, "' with ", args.size(), " arguments is not how torch stores a tensor");
    }
  }

  // Python 2 gives the pairs as an argument, Python 3 adds them afterwards. Copies are counted, because one
  // list can be the argument of many calls.
  void ordered_dict(const std::vector<Ref>& args) {
    std::vector<Ref> items;
    if (!args.empty()) {
      const std::vector<Ref>& pairs = values()[args[0]].items;
      copied_ += pairs.size();
      if (copied_ > Pickle::kMaxValues) fail("more than ", Pickle::kMaxValues, " values");
      for (Ref pair : pairs) {
        const std::vector<Ref>& entry = values()[pair].items;
        if (entry.size() != 2) fail("OrderedDict expects pairs");
        items.insert(items.end(), entry.begin(), entry.end());
      }
    }
    add(Kind::kDict).items = std::move(items);
  }

  void persistent() {
    Ref id = pop();
    add(Kind::kStorage).items = {id};
  }

  void protocol(unsigned version) const {
    if (version < 2 || version > 5) fail("protocol ", version, ", expected 2 to 5");
  }

  bool stop() {
    pickle_.root_ = pop();
    if (!stack_.empty() || !marks_.empty()) fail("STOP with values left on the stack");
    return false;
  }

  [[noreturn]] void refuse_opcode(unsigned op) const {
    struct Opcode {
      unsigned code;
      const char* name;
    };
    static constexpr Opcode kKnown[] = {
        {0x81, "NEWOBJ"}, {0x92, "NEWOBJ_EX"}, {'i', "INST"},       {'o', "OBJ"},       {0x82, "EXT1"},
        {0x83, "EXT2"},   {0x84, "EXT4"},      {'P', "PERSID"},     {'0', "POP"},       {'1', "POP_MARK"},
        {'2', "DUP"},     {'d', "DICT"},       {0x8f, "EMPTY_SET"}, {0x90, "ADDITEMS"}, {0x91, "FROZENSET"}};
    for (const Opcode& known : kKnown)
      if (known.code == op)
        fail("refused opcode ", known.name,
             ", which a state dictionary of tensors does not need; save "
             "model.state_dict() instead, best as safetensors");
    fail("unknown opcode ", op, "; the file is damaged or no torch checkpoint");
  }

  static constexpr Ref kUnset = 0xffffffff;

  std::string_view bytes_;
  const std::string& name_;
  size_t offset_;
  size_t at_ = 0;
  size_t start_ = 0;  // of the opcode in progress
  size_t copied_ = 0;
  Pickle pickle_;
  std::vector<Ref> stack_;
  std::vector<size_t> marks_;
  std::vector<Ref> memo_;
};

Pickle Pickle::parse(std::string_view bytes, const std::string& name, size_t offset, size_t* consumed) {
  return PickleReader(bytes, name, offset).run(consumed);
}

const Pickle::Value* Pickle::find(const Value& dict, std::string_view key) const {
  const Value* found = nullptr;
  for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const Value& candidate = at(dict.items[i]);
    if (candidate.kind == Kind::kString && candidate.text == key) found = &at(dict.items[i + 1]);
  }
  return found;
}

}  // namespace albert
