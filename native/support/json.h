// A small strict JSON reader (RFC 8259) with limits, for config.json, tokenizer.json and safetensors headers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
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
  };

  static constexpr int kMaxDepth = 64;

  // Throws Error{source.code} that names source.name, the byte offset, what was expected and what came.
  static Json parse(std::string_view text, const Source& source);

  Type type() const { return type_; }
  bool is_null() const { return type_ == Type::kNull; }
  bool is_bool() const { return type_ == Type::kBool; }
  bool is_number() const { return type_ == Type::kNumber; }
  bool is_string() const { return type_ == Type::kString; }
  bool is_array() const { return type_ == Type::kArray; }
  bool is_object() const { return type_ == Type::kObject; }

  // Unchecked views of a value whose type the caller has tested; empty or zero for another type.
  bool boolean() const { return boolean_; }
  double number() const { return number_; }
  const std::string& string() const { return string_; }  // UTF-8; lone surrogate escapes become U+FFFD
  const std::vector<Json>& array() const { return array_; }
  const std::vector<std::pair<std::string, Json>>& object() const { return object_; }

  // The member named `key`, or null when this is no object or has no such member.
  const Json* find(std::string_view key) const;

 private:
  friend class JsonParser;
  Type type_ = Type::kNull;
  bool boolean_ = false;
  double number_ = 0;
  std::string string_;
  std::vector<Json> array_;
  std::vector<std::pair<std::string, Json>> object_;
};

}  // namespace albert
