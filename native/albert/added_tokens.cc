// Finds the leftmost longest added token, as the trie of the Hugging Face tokenizers does, and gives roles
// their ids.
#include "added_tokens.h"

#include <algorithm>

#include "support/error.h"
#include "unicode.h"

namespace albert {
namespace {

// Ids of added tokens follow the vocabulary; one beyond this is a damaged file, and would make a huge
// embedding.
constexpr int32_t kMaxAddedIds = 1 << 20;

}  // namespace

AddedTokens::AddedTokens(const TokenizerConfig& config, const TextTokenizer& vocabulary)
    : size_(static_cast<int32_t>(vocabulary.pieces().size())) {
  for (const AddedToken& token : config.added_tokens) add(token, vocabulary);
  for (const auto& role : config.roles)
    if (role) add(*role, vocabulary);

  std::vector<DoubleArray::Key> keys;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    keys.emplace_back(tokens_[i].content, static_cast<int32_t>(i));
    by_id_.emplace(tokens_[i].id, i);
    starts_[unicode::to_utf16(tokens_[i].content)[0] & 255] = true;
  }
  by_content_ = DoubleArray(std::move(keys), "added tokens");

  int32_t* const ids[kRoleCount] = {&special_.pad,  &special_.unk, &special_.cls, &special_.sep,
                                    &special_.mask, &special_.bos, &special_.eos};
  for (int role = 0; role < kRoleCount; ++role) {
    const AddedToken* token = config.roles[role] ? find_content(config.roles[role]->content) : nullptr;
    if (token) *ids[role] = token->id;
  }
  if (special_.unk < 0) special_.unk = vocabulary.unknown_id();
}

// The first mention of a token counts, as in added_tokens_decoder, which knows the flags.
void AddedTokens::add(AddedToken token, const TextTokenizer& vocabulary) {
  if (token.id < 0) token.id = vocabulary.find(token.content);
  if (token.id < 0) return;
  const auto pieces = static_cast<int32_t>(vocabulary.pieces().size());
  check(token.id < pieces + kMaxAddedIds, ErrorCode::kTokenizer, "the added token '", token.content,
        "' has the id ", token.id, ", far beyond the ", pieces, " pieces of the vocabulary");
  if (!contents_.insert(token.content).second) return;
  size_ = std::max(size_, token.id + 1);
  tokens_.push_back(std::move(token));
}

const AddedToken* AddedTokens::find_id(int32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tokens_[found->second];
}

const AddedToken* AddedTokens::find_content(std::string_view content) const {
  const int32_t index = by_content_.find(content);
  return index == DoubleArray::kNoValue ? nullptr : &tokens_[index];
}

const AddedToken* AddedTokens::longest_at(std::u16string_view text, size_t at, size_t* length) const {
  const AddedToken* found = nullptr;
  uint32_t node = DoubleArray::kRoot;
  for (size_t end = at; end < text.size();) {
    int units = 0;
    char bytes[4];
    const int count = unicode::encode_utf8(unicode::decode_utf16(text, end, &units), bytes);
    for (int i = 0; i < count; ++i)
      if (!by_content_.step(&node, static_cast<unsigned char>(bytes[i]))) return found;
    end += static_cast<size_t>(units);
    if (by_content_.value(node) == DoubleArray::kNoValue) continue;
    found = &tokens_[by_content_.value(node)];
    *length = end - at;
  }
  return found;
}

AddedTokens::Match AddedTokens::next(std::u16string_view text, size_t from) const {
  for (size_t at = from; at < text.size(); ++at) {
    if (!starts_[text[at] & 255]) continue;
    size_t length = 0;
    const AddedToken* token = longest_at(text, at, &length);
    if (!token) continue;
    const size_t end = at + length;
    const bool stands_alone = (at == 0 || unicode::is_python_space(text[at - 1])) &&
                              (end == text.size() || unicode::is_python_space(text[end]));
    if (!token->single_word || stands_alone) return {token, at, end};
  }
  return {};
}

void AddedTokens::tokenize(std::u16string_view text, const TextTokenizer& tokenizer,
                           TokenizerWorkspace* workspace, TokenList* out) const {
  for (size_t at = 0; at < text.size();) {
    const Match match = next(text, at);
    size_t end = match.token ? match.start : text.size();
    if (match.token && match.token->lstrip)
      while (end > at && unicode::is_python_space(text[end - 1])) --end;
    if (end > at) tokenizer.tokenize(text.substr(at, end - at), static_cast<int32_t>(at), workspace, out);
    if (!match.token) return;
    out->add(match.token->id, {static_cast<int32_t>(match.start), static_cast<int32_t>(match.end)});
    at = match.end;
    if (match.token->rstrip)
      while (at < text.size() && unicode::is_python_space(text[at])) ++at;
  }
}

}  // namespace albert
