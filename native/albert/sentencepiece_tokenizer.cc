// Turns prepared text into pieces and ids, splits numbers from commas, and writes pieces back as text.
#include "sentencepiece_tokenizer.h"

#include <charconv>
#include <optional>

#include "support/error.h"

namespace albert {
namespace {

// A piece longer than its comma whose character before the comma is a digit: '▁92,'.
bool is_number_before_comma(std::string_view piece) {
  if (piece.size() < 2 || piece.back() != ',') return false;
  size_t at = piece.size() - 2;
  while (at > 0 && unicode::is_continuation(piece[at])) --at;
  size_t length = 0;
  const char32_t c = unicode::decode_utf8(piece.substr(at), &length);
  return unicode::Tables::get().has(c, unicode::kDigit);
}

// The byte that a piece such as '<0x0A>' stands for, if it is one.
std::optional<uint8_t> byte_of(std::string_view piece) {
  if (piece.size() != 6 || piece.substr(0, 3) != "<0x" || piece[5] != '>') return std::nullopt;
  uint8_t byte = 0;
  const char *digits = piece.data() + 3, *end = digits + 2;
  const auto [at, error] = std::from_chars(digits, end, byte, 16);
  if (error != std::errc() || at != end) return std::nullopt;
  return byte;
}

}  // namespace

SentencePieceTokenizer::SentencePieceTokenizer(SentencePieceModel model, const Preparation& preparation,
                                               const std::string& name)
    : preparation_(preparation),
      normalizer_(model, name),
      unigram_(model, name),
      strips_first_space_(model.add_dummy_prefix || model.remove_extra_whitespaces),
      byte_fallback_(model.byte_fallback),
      comma_id_(unigram_.find(",")),
      pieces_(std::move(model.pieces)) {
  if (comma_id_ < 0) comma_id_ = unigram_.unknown_id();
  byte_ids_.fill(-1);
  for (int byte = 0; byte < 256 && byte_fallback_; ++byte) {
    byte_ids_[byte] = unigram_.find(byte_piece(byte));
    check(byte_ids_[byte] >= 0, ErrorCode::kTokenizer, name, ": byte_fallback is set, but piece '",
          byte_piece(byte), "' is missing");
  }
}

void SentencePieceTokenizer::tokenize(std::u16string_view text, int32_t offset, TokenizerWorkspace* workspace,
                                      TokenList* out) const {
  MappedText& prepared = workspace->prepared;
  MappedText& normalized = workspace->normalized;
  prepared.clear();
  normalized.clear();
  workspace->pieces.clear();
  prepare_text(text, offset, preparation_, &prepared);
  normalizer_.normalize(prepared.view(), prepared.spans(), &normalized);
  unigram_.segment(normalized.view(), &workspace->nodes, &workspace->pieces);
  for (const Unigram::Piece& piece : workspace->pieces) {
    if (normalized.bytes()[piece.end - 1] == ',' &&
        is_number_before_comma(normalized.view(piece.begin, piece.end)))
      add_number_before_comma(piece, workspace, out);
    else
      add(normalized, piece.begin, piece.end, piece.id, out);
  }
}

void SentencePieceTokenizer::add(const MappedText& text, uint32_t begin, uint32_t end, int32_t id,
                                 TokenList* out) const {
  const char* bytes = text.bytes();
  uint32_t from = begin;
  while (end - from >= kMetaspace.size() && bytes[from] == kMetaspace[0] &&
         starts_with_metaspace(text.view(from, end)))
    from += static_cast<uint32_t>(kMetaspace.size());
  const int32_t last = text.spans()[end - 1].end;
  const Span span = {from < end ? text.spans()[from].start : last, last};
  if (id != unigram_.unknown_id()) return out->add(id, span);

  const std::string_view surface = text.view(begin, end);
  if (byte_fallback_) {
    for (uint32_t at = begin; at < end; ++at)
      out->add(byte_ids_[static_cast<unsigned char>(bytes[at])], text.spans()[at]);
    return;
  }
  // The reference looks ids up by the text of the piece, so that unknown characters which spell a control
  // symbol become that symbol.
  const int32_t known = unigram_.find(surface);
  out->add(known >= 0 ? known : id, span, surface);
}

// '▁92,' is encoded anew without its comma, as the reference does to keep numbers apart from punctuation.
void SentencePieceTokenizer::add_number_before_comma(const Unigram::Piece& piece,
                                                     TokenizerWorkspace* workspace, TokenList* out) const {
  MappedText& prepared = workspace->prepared;
  MappedText& normalized = workspace->normalized;
  const size_t begin = prepared.size();
  for (uint32_t at = piece.begin; at + 1 < piece.end;) {
    if (starts_with_metaspace(normalized.view(at, piece.end))) {
      at += static_cast<uint32_t>(kMetaspace.size());
      continue;
    }
    prepared.reserve_more(1);
    prepared.push(normalized.bytes()[at], normalized.spans()[at]);
    ++at;
  }
  const auto base = static_cast<uint32_t>(
      normalizer_.normalize(prepared.view(begin, prepared.size()), prepared.spans() + begin, &normalized));
  workspace->parts.clear();
  unigram_.segment(normalized.view(base, normalized.size()), &workspace->nodes, &workspace->parts);

  const bool starts_word = starts_with_metaspace(normalized.view(piece.begin, piece.end));
  bool is_first = true;
  for (const Unigram::Piece& part : workspace->parts) {
    uint32_t from = base + part.begin;
    const uint32_t end = base + part.end;
    int32_t id = part.id;
    if (is_first && !starts_word && starts_with_metaspace(normalized.view(from, end))) {
      from += static_cast<uint32_t>(kMetaspace.size());
      id = from < end ? unigram_.find(normalized.view(from, end)) : -1;
      if (id < 0) id = unigram_.unknown_id();
    }
    if (from < end) add(normalized, from, end, id, out);
    is_first = false;
  }
  add(normalized, piece.end - 1, piece.end, comma_id_, out);
}

// Special tokens are glued to the text before them, with a space only before the first of a row of them:
// '[CLS] the man[SEP]'. That is how the reference writes it.
std::string SentencePieceTokenizer::join(const std::vector<Part>& parts) const {
  std::string text;
  size_t first = 0;
  bool after_special = false;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (!parts[i].special) {
      after_special = false;
      continue;
    }
    if (!after_special) text += ' ';
    text += join_pieces(parts, first, i);
    text += parts[i].piece;
    first = i + 1;
    after_special = true;
  }
  return text + join_pieces(parts, first, parts.size());
}

std::string SentencePieceTokenizer::join_pieces(const std::vector<Part>& parts, size_t first,
                                                size_t last) const {
  std::string text, bytes;
  const auto flush_bytes = [&] {
    for (std::string_view rest = bytes; !rest.empty();) {
      size_t length = 0;
      unicode::append_utf8(text, unicode::decode_utf8(rest, &length));
      rest.remove_prefix(length);
    }
    bytes.clear();
  };
  for (size_t i = first; i < last; ++i) {
    std::string_view piece = parts[i].piece;
    if (const std::optional<uint8_t> byte = byte_fallback_ ? byte_of(piece) : std::nullopt) {
      bytes += static_cast<char>(*byte);
      continue;
    }
    flush_bytes();
    if (text.empty() && strips_first_space_ && starts_with_metaspace(piece))
      piece.remove_prefix(kMetaspace.size());
    while (!piece.empty()) {
      const bool space = starts_with_metaspace(piece);
      text += space ? ' ' : piece[0];
      piece.remove_prefix(space ? kMetaspace.size() : 1);
    }
  }
  flush_bytes();
  return text;
}

}  // namespace albert
