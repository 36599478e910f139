// Splits text at whitespace, punctuation and ideographs, and words into pieces.
#include "wordpiece.h"

#include <map>

#include "support/error.h"
#include "text_preparation.h"
#include "unicode.h"

namespace albert {
namespace {

bool is_space(char32_t c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == 0x2028 || c == 0x2029 ||
         unicode::Tables::get().has(c, unicode::kSpaceSeparator);
}

bool is_ideograph(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B820 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

// Every ASCII character that is no letter, digit, space or control character counts, '$' and '^' too.
bool is_punctuation(char32_t c) {
  if (c < 0x80)
    return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
  return unicode::Tables::get().has(c, unicode::kPunctuation);
}

}  // namespace

WordPieceTokenizer::WordPieceTokenizer(std::vector<std::string> pieces, const WordPieceOptions& options,
                                       const std::string& name)
    : options_(options), pieces_(std::move(pieces)) {
  std::map<std::string_view, int32_t> words, continuations;
  const std::string& prefix = options_.continuation;
  for (size_t id = 0; id < pieces_.size(); ++id) {
    const std::string_view piece = pieces_[id];
    if (piece.empty()) continue;
    words[piece] = static_cast<int32_t>(id);
    if (piece.size() > prefix.size() && piece.substr(0, prefix.size()) == prefix)
      continuations[piece.substr(prefix.size())] = static_cast<int32_t>(id);
  }
  words_ = DoubleArray({words.begin(), words.end()}, name);
  continuations_ = DoubleArray({continuations.begin(), continuations.end()}, name);
  unknown_id_ = find(options_.unknown);
  check(unknown_id_ >= 0, ErrorCode::kTokenizer, name, ": expected the unknown piece '", options_.unknown,
        "' among the ", pieces_.size(), " pieces");
}

void WordPieceTokenizer::tokenize(std::u16string_view text, int32_t offset, TokenizerWorkspace* workspace,
                                  TokenList* out) const {
  MappedText& cleaned = workspace->prepared;
  cleaned.clear();
  clean(text, offset, &cleaned);
  for (size_t begin = 0; begin < cleaned.size();) {
    size_t end = begin;
    while (end < cleaned.size() && cleaned.bytes()[end] != ' ') ++end;
    if (end > begin) split_word(cleaned, begin, end, workspace, out);
    begin = end + 1;
  }
}

// Without control characters, with spaces for whitespace and around ideographs.
void WordPieceTokenizer::clean(std::u16string_view text, int32_t offset, MappedText* out) const {
  const unicode::Tables& tables = unicode::Tables::get();
  for (size_t at = 0; at < text.size();) {
    int length = 0;
    const char32_t c = unicode::decode_utf16(text, at, &length);
    const auto start = static_cast<int32_t>(offset + at);
    const Span span = {start, start + length};
    at += static_cast<size_t>(length);
    const bool space = is_space(c);
    if (options_.clean_text && !space &&
        (c == 0 || c == unicode::kReplacement || tables.has(c, unicode::kControl)))
      continue;
    const bool apart = options_.spaces_around_ideographs && is_ideograph(c);
    if (apart) out->append(U' ', span);
    out->append(space ? U' ' : c, span);
    if (apart) out->append(U' ', span);
  }
}

// Lower case and accents of one word, then a token at every punctuation character.
void WordPieceTokenizer::split_word(const MappedText& text, size_t begin, size_t end,
                                    TokenizerWorkspace* workspace, TokenList* out) const {
  const unicode::Tables& tables = unicode::Tables::get();
  MappedText& word = workspace->normalized;
  word.clear();
  std::vector<size_t> sigmas;
  char32_t parts[unicode::kMaxDecomposition], lowered[unicode::kMaxLower];
  for (size_t at = begin, length = 0; at < end; at += length) {
    const char32_t c = unicode::decode_utf8(text.view(at, end), &length);
    const Span span = text.spans()[at];
    int lowered_count = 1;
    if (options_.do_lower_case) {
      lowered_count = tables.lower(c, lowered);
      if (c == 0x3A3) sigmas.push_back(word.size());
    } else {
      lowered[0] = c;
    }
    for (int i = 0; i < lowered_count; ++i) {
      if (!options_.strip_accents) {
        word.append(lowered[i], span);
        continue;
      }
      const int count = tables.decompose(lowered[i], unicode::Form::kCanonical, parts);
      for (int j = 0; j < count; ++j) {
        if (!tables.has(parts[j], unicode::kNonspacingMark))
          word.append(parts[j], span);
        else if (word.size() > 0)
          word.extend_last(span.end);
      }
    }
  }
  resolve_final_sigmas(0, sigmas, &word);

  size_t from = 0;
  for (size_t at = 0, length = 0; at < word.size(); at += length) {
    if (!is_punctuation(unicode::decode_utf8(word.view(at, word.size()), &length))) continue;
    if (at > from) add_pieces(word, from, at, out);
    add_pieces(word, at, at + length, out);
    from = at + length;
  }
  if (word.size() > from) add_pieces(word, from, word.size(), out);
}

void WordPieceTokenizer::add_pieces(const MappedText& text, size_t begin, size_t end, TokenList* out) const {
  const size_t first = out->tokens.size();
  const std::string_view word = text.view(begin, end);
  size_t characters = 0;
  for (const char byte : word) characters += !unicode::is_continuation(byte);
  bool known = characters <= options_.max_word_characters;
  for (size_t at = 0, length = 0; known && at < word.size(); at += length) {
    const int32_t id = (at == 0 ? words_ : continuations_).longest_prefix(word.substr(at), &length);
    known = id != DoubleArray::kNoValue;
    if (!known) break;
    out->add(id, {text.spans()[begin + at].start, text.spans()[begin + at + length - 1].end});
  }
  if (known) return;
  out->tokens.resize(first);
  out->add(unknown_id_, {text.spans()[begin].start, text.spans()[end - 1].end});
}

std::string WordPieceTokenizer::join(const std::vector<Part>& parts) const {
  std::string text;
  const std::string& prefix = options_.continuation;
  for (const Part& part : parts) {
    std::string_view piece = part.piece;
    if (piece.substr(0, prefix.size()) == prefix && !text.empty())
      piece.remove_prefix(prefix.size());
    else if (!text.empty())
      text += ' ';
    text += piece;
  }
  return text;
}

}  // namespace albert
