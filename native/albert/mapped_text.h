// UTF-8 text that remembers which UTF-16 units of the caller's string each of its bytes came from.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#include "support/error.h"
#include "unicode.h"

namespace albert {

// UTF-16 units [start, end) of the caller's string.
struct Span {
  int32_t start;
  int32_t end;
};

// Append-only buffers that a tokenizer call reuses. Every byte of a character has the span of what the
// character was made of; a text that many characters became keeps the span of them all.
class MappedText {
 public:
  static constexpr size_t kMaxSize = 0x7FFFFFFF;

  const char* bytes() const { return bytes_.get(); }
  const Span* spans() const { return spans_.get(); }
  char* mutable_bytes() { return bytes_.get(); }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  std::string_view view(size_t begin, size_t end) const { return {bytes_.get() + begin, end - begin}; }
  std::string_view view() const { return view(0, size_); }

  void clear() { size_ = 0; }
  void shrink(size_t size) { size_ = size; }
  void extend_last(int32_t end) { spans_[size_ - 1].end = end; }

  // Room for so many more bytes; appending beyond it is not checked.
  void reserve_more(size_t count) {
    if (capacity_ - size_ < count) grow(count);
  }
  void push(char byte, Span span) {
    bytes_[size_] = byte;
    spans_[size_++] = span;
  }
  void append(std::string_view text, Span span) {
    reserve_more(text.size());
    for (const char byte : text) push(byte, span);
  }
  void append(char32_t c, Span span) {
    char encoded[4];
    append(std::string_view(encoded, unicode::encode_utf8(c, encoded)), span);
  }

 private:
  void grow(size_t count) {
    check(count <= kMaxSize - size_, ErrorCode::kTooLong, "the text is longer than ", kMaxSize,
          " bytes after normalisation; split it");
    const size_t capacity = std::max(size_ + count, std::min(capacity_ + capacity_ / 2, kMaxSize));
    std::unique_ptr<char[]> bytes(new char[capacity]);
    std::unique_ptr<Span[]> spans(new Span[capacity]);
    if (size_ > 0) {
      std::memcpy(bytes.get(), bytes_.get(), size_);
      std::memcpy(spans.get(), spans_.get(), size_ * sizeof(Span));
    }
    bytes_ = std::move(bytes);
    spans_ = std::move(spans);
    capacity_ = capacity;
  }

  std::unique_ptr<char[]> bytes_;
  std::unique_ptr<Span[]> spans_;
  size_t size_ = 0, capacity_ = 0;
};

}  // namespace albert
