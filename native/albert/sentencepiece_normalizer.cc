// The normalisation of Normalizer::Normalize in google/sentencepiece, with spans carried along.
#include "sentencepiece_normalizer.h"

namespace albert {
namespace {

std::vector<DoubleArray::Key> user_defined_keys(const SentencePieceModel& model) {
  std::vector<DoubleArray::Key> keys;
  for (size_t id = 0; id < model.pieces.size(); ++id)
    if (model.types[id] == PieceType::kUserDefined)
      keys.emplace_back(model.pieces[id], static_cast<int32_t>(id));
  return keys;
}

}  // namespace

SentencePieceNormalizer::SentencePieceNormalizer(const SentencePieceModel& model, const std::string& name)
    : charsmap_(model.charsmap, name),
      user_defined_(user_defined_keys(model), name),
      add_dummy_prefix_(model.add_dummy_prefix),
      remove_extra_whitespaces_(model.remove_extra_whitespaces),
      whitespace_as_suffix_(model.treat_whitespace_as_suffix),
      space_(model.escape_whitespaces ? kMetaspace : std::string_view(" ")) {
  for (unsigned char c = 0; c < 128; ++c) plain_[c] = charsmap_.is_plain(c);
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const auto lead = static_cast<unsigned char>(model.pieces[id][0]);
    if (model.types[id] == PieceType::kUserDefined && lead < 128 &&
        (model.pieces[id].size() > 1 || lead == ' '))
      plain_[lead] = false;
  }
}

SentencePieceNormalizer::Step SentencePieceNormalizer::step(std::string_view text) const {
  size_t length = 0;
  if (user_defined_.longest_prefix(text, &length) != DoubleArray::kNoValue)
    return {text.substr(0, length), length};
  const Charsmap::Match match = charsmap_.longest_match(text);
  if (match.length > 0) return {match.replacement, match.length};
  unicode::decode_utf8(text, &length);
  const bool malformed = length == 1 && static_cast<unsigned char>(text[0]) >= 0x80;
  return {malformed ? std::string_view("\xEF\xBF\xBD") : text.substr(0, length), length};
}

size_t SentencePieceNormalizer::normalize(std::string_view text, const Span* spans, MappedText* out) const {
  const size_t begin = out->size();
  size_t at = 0;
  if (remove_extra_whitespaces_) {
    while (at < text.size()) {
      const Step next = step(text.substr(at));
      if (next.normalized != " ") break;
      at += next.consumed;
    }
  }
  if (at == text.size()) return begin;
  const Span first = {spans[at].start, spans[at].start};
  if (add_dummy_prefix_ && !whitespace_as_suffix_) out->append(space_, first);
  bool after_space = remove_extra_whitespaces_;
  while (at < text.size()) {
    // Enough for as many plain characters as there are.
    out->reserve_more(kMetaspace.size() * (text.size() - at));
    for (; at < text.size(); ++at) {
      const auto byte = static_cast<unsigned char>(text[at]);
      if (byte >= 128 || !plain_[byte]) break;
      if (at + 1 < text.size() && static_cast<unsigned char>(text[at + 1]) >= 128) break;
      if (byte != ' ') {
        out->push(text[at], spans[at]);
        after_space = false;
      } else if (!after_space) {
        for (const char c : space_) out->push(c, spans[at]);
        after_space = remove_extra_whitespaces_;
      }
    }
    if (at == text.size()) break;
    const Step next = step(text.substr(at));
    const Span span = {spans[at].start, spans[at + next.consumed - 1].end};
    std::string_view normalized = next.normalized;
    while (after_space && !normalized.empty() && normalized.front() == ' ') normalized.remove_prefix(1);
    for (const char c : normalized) out->append(c == ' ' ? space_ : std::string_view(&c, 1), span);
    if (!normalized.empty()) after_space = remove_extra_whitespaces_ && normalized.back() == ' ';
    at += next.consumed;
  }
  if (remove_extra_whitespaces_) {
    while (out->size() - begin >= space_.size() &&
           out->view(out->size() - space_.size(), out->size()) == space_)
      out->shrink(out->size() - space_.size());
  }
  if (add_dummy_prefix_ && whitespace_as_suffix_) {
    const int32_t end = spans[text.size() - 1].end;
    out->append(space_, {end, end});
  }
  return begin;
}

}  // namespace albert
