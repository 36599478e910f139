// Tells the three kinds of vocabulary files apart and makes the tokenizer that each asks for.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "text_tokenizer.h"
#include "tokenizer.h"
#include "tokenizer_config.h"

namespace albert {

struct LoadedTokenizer {
  std::unique_ptr<TextTokenizer> text_tokenizer;
  TokenizerConfig config;  // with the roles that the family of the vocabulary implies
};

// From the bytes of a vocabulary file; files.vocabulary_path is not read, `name` is what errors call the
// bytes. Throws Error{kTokenizer}.
LoadedTokenizer load_tokenizer(std::string_view vocabulary, const std::string& name,
                               const TokenizerFiles& files);

// The roles of the two families, where the files say nothing.
void set_albert_roles(const TextTokenizer& vocabulary, TokenizerConfig* config);
void set_bert_roles(TokenizerConfig* config);

}  // namespace albert
