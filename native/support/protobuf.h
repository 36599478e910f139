// A bounded reader of the protobuf wire format: the fields of one message, in the order of the file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "error.h"

namespace albert {

// Walks the fields of a message that lies in memory. Groups, which no current writer makes, are refused.
class ProtobufReader {
 public:
  enum class WireType { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

  struct Field {
    uint32_t number = 0;
    WireType type = WireType::kVarint;
    uint64_t integer = 0;    // kVarint, kFixed64, kFixed32
    std::string_view bytes;  // kBytes: a string, bytes, or a message to read with another reader

    // The value as its declared type; each throws Error when the wire type is another one.
    std::string_view as_bytes(const ProtobufReader& reader) const;
    float as_float(const ProtobufReader& reader) const;
    int32_t as_int32(const ProtobufReader& reader) const;
    bool as_bool(const ProtobufReader& reader) const;
  };

  // `name` is what errors call the bytes: a file, perhaps with the message inside it.
  ProtobufReader(std::string_view bytes, ErrorCode code, const std::string& name)
      : bytes_(bytes), code_(code), name_(name) {}

  // False at the end of the message. Throws Error{code} when the bytes are no protobuf message.
  bool next(Field* field);
  // Packed numbers stand one after another without tags: whether all of them are read, and the next one.
  bool done() const { return at_ == bytes_.size(); }
  uint64_t varint();
  uint64_t fixed(size_t size);

 private:
  [[noreturn]] void fail(const std::string& what) const;

  std::string_view bytes_;
  size_t at_ = 0;
  ErrorCode code_;
  const std::string& name_;
};

}  // namespace albert
