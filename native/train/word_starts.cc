// The reference's word boundaries, with its sets of characters.
#include "word_starts.h"

#include <string>

#include "albert/sentencepiece_model.h"

namespace albert {
namespace {

// Without ' < = and >, as in the reference.
constexpr std::string_view kPunctuation = "!\"#$%&()*+,-./:;?@[\\]^_`{|}~";

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

}  // namespace

bool starts_word_sentencepiece(std::string_view piece) {
  if (starts_with_metaspace(piece) || piece.substr(0, 1) == "<") return true;
  if (piece.size() == 1 && kPunctuation.find(piece[0]) != std::string_view::npos) return true;
  for (const char c : piece)
    if (!is_letter(c) && kPunctuation.find(c) == std::string_view::npos) return true;
  return false;
}

std::vector<uint8_t> word_starts(const Tokenizer& tokenizer) {
  const auto size = static_cast<size_t>(tokenizer.vocabulary_size());
  std::vector<std::string> pieces(size);
  bool marks = false, continuations = false;
  for (size_t id = 0; id < size; ++id) {
    if (tokenizer.has_id(static_cast<int32_t>(id)))
      pieces[id] = tokenizer.id_to_token(static_cast<int32_t>(id));
    marks = marks || starts_with_metaspace(pieces[id]);
    continuations = continuations || !starts_word_wordpiece(pieces[id]);
  }
  const bool wordpiece = continuations && !marks;
  std::vector<uint8_t> starts(size);
  for (size_t id = 0; id < size; ++id)
    starts[id] = wordpiece ? starts_word_wordpiece(pieces[id]) : starts_word_sentencepiece(pieces[id]);
  return starts;
}

}  // namespace albert
