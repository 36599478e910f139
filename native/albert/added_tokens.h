// Tokens that are found in the text before anything else: [MASK] and its like, and those a user added.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "double_array.h"
#include "text_tokenizer.h"
#include "tokenizer.h"
#include "tokenizer_config.h"

namespace albert {

class AddedTokens {
 public:
  // Resolves the tokens of the configuration against the vocabulary; those that neither it nor the
  // configuration gives an id do not exist. Throws Error{kTokenizer} for an id far beyond the vocabulary.
  AddedTokens(const TokenizerConfig& config, const TextTokenizer& vocabulary);

  const SpecialTokens& special_tokens() const { return special_; }
  int32_t vocabulary_size() const { return size_; }

  const AddedToken* find_id(int32_t id) const;
  const AddedToken* find_content(std::string_view content) const;

  // Splits the text at its added tokens; everything between goes through the tokenizer.
  void tokenize(std::u16string_view text, const TextTokenizer& tokenizer, TokenizerWorkspace* workspace,
                TokenList* out) const;

 private:
  struct Match {
    const AddedToken* token = nullptr;
    size_t start = 0, end = 0;
  };
  void add(AddedToken token, const TextTokenizer& vocabulary);
  Match next(std::u16string_view text, size_t from) const;
  const AddedToken* longest_at(std::u16string_view text, size_t at, size_t* length) const;

  std::vector<AddedToken> tokens_;
  std::set<std::string> contents_;
  std::map<int32_t, size_t> by_id_;  // index into tokens_
  DoubleArray by_content_;           // index into tokens_
  bool starts_[256] = {};  // by the low byte of a first UTF-16 unit: whether a token may start there
  SpecialTokens special_;
  int32_t size_;
};

}  // namespace albert
