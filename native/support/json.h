// A small strict JSON reader (RFC 8259) with limits, for config.json, tokenizer.json and safetensors headers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "error.h"

namespace albert {

// Object members keep the file's order; a repeated key keeps its last value, as JSON.parse does.
class Json {
 public:
  enum class Type { kNull, kBool, kNumber, kString, kArray, kObject };

  // What every failure reports: the code of the reader that asked and the file (or text) it was reading.
  struct Source {
    ErrorCode code;
    std::string name;
    bool unique_keys = false;  // refuse an object that repeats a key
  };

  static constexpr int kMaxDepth = 64;
  // A value takes 40 bytes however short its text, so a hostile file could ask for twenty times its own size.
  static constexpr int64_t kMaxValues = 4000000;

  // Throws Error{source.code} that names source.name, the byte offset and line, what was expected and what
  // came.
  static Json parse(std::string_view text, const Source& source);

  Type type() const { return static_cast<Type>(value_.index()); }
  bool is_null() const { return type() == Type::kNull; }
  bool is_bool() const { return type() == Type::kBool; }
  bool is_number() const { return type() == Type::kNumber; }
  bool is_string() const { return type() == Type::kString; }
  bool is_array() const { return type() == Type::kArray; }
  bool is_object() const { return type() == Type::kObject; }

  // Views of a value whose type the caller has tested; empty or zero for another type.
  bool boolean() const {
    const bool* value = std::get_if<bool>(&value_);
    return value && *value;
  }
  double number() const {
    const double* value = std::get_if<double>(&value_);
    return value ? *value : 0;
  }
  // UTF-8; lone surrogate escapes become U+FFFD.
  const std::string& string() const { return get<std::string>(); }
  const std::vector<Json>& array() const { return get<std::vector<Json>>(); }
  const std::vector<std::pair<std::string, Json>>& object() const {
    return get<std::vector<std::pair<std::string, Json>>>();
  }

  // The member named `key`, or null when this is no object or has no such member.
  const Json* find(std::string_view key) const;

  // What came, for error messages: 'null', 'the number 3', 'the string "abc"', 'an array'.
  std::string describe() const;

 private:
  friend class JsonParser;
  template <typename T>
  const T& get() const {
    static const T empty;
    const T* value = std::get_if<T>(&value_);
    return value ? *value : empty;
  }

  // The alternatives stand in the order of Type.
  std::variant<std::monostate, bool, double, std::string, std::vector<Json>,
               std::vector<std::pair<std::string, Json>>>
      value_;
};

}  // namespace albert
