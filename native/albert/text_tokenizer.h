// What SentencePiece and WordPiece have in common: text between special tokens becomes tokens, and tokens
// become text.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mapped_text.h"
#include "unigram.h"

namespace albert {

// A token of a text: UTF-16 units [start, end) of it. A piece that the vocabulary does not have keeps its own
// text.
struct Token {
  int32_t id;
  int32_t start, end;
  uint32_t surface_begin, surface_size;  // in TokenList::surfaces; size 0: the text of the id
};

struct TokenList {
  std::vector<Token> tokens;
  std::string surfaces;

  void clear() {
    tokens.clear();
    surfaces.clear();
  }
  void add(int32_t id, Span span, std::string_view surface = {}) {
    tokens.push_back({id, span.start, span.end, static_cast<uint32_t>(surfaces.size()),
                      static_cast<uint32_t>(surface.size())});
    surfaces += surface;
  }
};

// Buffers of one call, kept for the next.
struct TokenizerWorkspace {
  MappedText prepared, normalized;
  std::vector<Unigram::Node> nodes;
  std::vector<Unigram::Piece> pieces, parts;
  TokenList first, second;

  // What a call on a usual text needs, in bytes of text and in tokens; a workspace that grew beyond it is not
  // kept. A text of added tokens alone grows nothing but the list of its tokens.
  static constexpr size_t kKept = 1 << 20;
  bool is_small() const {
    const size_t grown =
        std::max({prepared.capacity(), normalized.capacity(), first.tokens.capacity(),
                  first.surfaces.capacity(), second.tokens.capacity(), second.surfaces.capacity()});
    return grown < kKept;
  }
};

class TextTokenizer {
 public:
  virtual ~TextTokenizer() = default;

  // Appends the tokens of a text that holds no special token; `offset` is where it starts in the caller's
  // string.
  virtual void tokenize(std::u16string_view text, int32_t offset, TokenizerWorkspace* workspace,
                        TokenList* out) const = 0;

  struct Part {
    std::string_view piece;
    bool special;
  };
  // The text of the pieces, as convert_tokens_to_string of the Hugging Face tokenizer writes it.
  virtual std::string join(const std::vector<Part>& parts) const = 0;

  virtual const std::vector<std::string>& pieces() const = 0;  // [V]
  virtual int32_t find(std::string_view piece) const = 0;      // -1 when there is none
  virtual int32_t unknown_id() const = 0;
};

}  // namespace albert
