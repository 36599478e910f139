// Reads varints, fixed numbers and length-prefixed bytes, each checked against the end of the message.
#include "protobuf.h"

#include "half.h"

namespace albert {

void ProtobufReader::fail(const std::string& what) const {
  throw Error(code_, str(name_, ": expected a protobuf message, but at byte ", at_, " of ", bytes_.size(),
                         " ", what, "; the file may be truncated or of another kind"));
}

uint64_t ProtobufReader::varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (done()) fail("a number is cut off");
    const auto byte = static_cast<unsigned char>(bytes_[at_++]);
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  fail("a number is longer than 10 bytes");
}

uint64_t ProtobufReader::fixed(size_t size) {
  if (bytes_.size() - at_ < size) fail("a number is cut off");
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i)
    value |= static_cast<uint64_t>(static_cast<unsigned char>(bytes_[at_++])) << 8 * i;
  return value;
}

bool ProtobufReader::next(Field* field) {
  if (done()) return false;
  const uint64_t tag = varint();
  if (tag >> 3 == 0 || tag >> 3 > 0x1FFFFFFF) fail(str("a field has the number ", tag >> 3));
  *field = Field();
  field->number = static_cast<uint32_t>(tag >> 3);
  field->type = static_cast<WireType>(tag & 7);
  switch (field->type) {
    case WireType::kVarint:
      field->integer = varint();
      return true;
    case WireType::kFixed64:
      field->integer = fixed(8);
      return true;
    case WireType::kFixed32:
      field->integer = fixed(4);
      return true;
    case WireType::kBytes: {
      const uint64_t length = varint();
      if (length > bytes_.size() - at_) fail(str("a field of ", length, " bytes does not fit"));
      field->bytes = bytes_.substr(at_, static_cast<size_t>(length));
      at_ += static_cast<size_t>(length);
      return true;
    }
  }
  fail(str("a field has the wire type ", tag & 7));
}

std::string_view ProtobufReader::Field::as_bytes(const ProtobufReader& reader) const {
  if (type != WireType::kBytes) reader.fail(str("field ", number, " should hold bytes"));
  return bytes;
}

float ProtobufReader::Field::as_float(const ProtobufReader& reader) const {
  if (type != WireType::kFixed32) reader.fail(str("field ", number, " should hold a float"));
  return float_from_bits(static_cast<uint32_t>(integer));
}

int32_t ProtobufReader::Field::as_int32(const ProtobufReader& reader) const {
  if (type != WireType::kVarint) reader.fail(str("field ", number, " should hold an integer"));
  return static_cast<int32_t>(integer);
}

bool ProtobufReader::Field::as_bool(const ProtobufReader& reader) const { return as_int32(reader) != 0; }

}  // namespace albert
