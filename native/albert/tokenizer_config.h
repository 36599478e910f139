// What tokenizer_config.json and special_tokens_map.json say about a tokenizer, read with every type checked.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "support/json.h"

namespace albert {

// A token that is looked for in the text before anything else happens to it.
struct AddedToken {
  std::string content;
  int32_t id = -1;      // -1: the vocabulary knows it
  bool lstrip = false;  // takes the whitespace before it
  bool rstrip = false;
  bool single_word = false;  // only where whitespace or the end is on both sides
  bool special = true;
};

// The order of kRoleKeys in tokenizer_config.cc.
enum Role { kPad, kUnk, kCls, kSep, kMask, kBos, kEos, kRoleCount };

struct TokenizerConfig {
  std::optional<bool> do_lower_case, keep_accents, remove_space, strip_accents, tokenize_chinese_chars;
  std::optional<bool> clean_up_tokenization_spaces;
  std::array<std::optional<AddedToken>, kRoleCount> roles;
  std::vector<AddedToken> added_tokens;

  // Gives the roles that no file names the tokens that a family of vocabularies uses.
  void set_default_role(Role role, const char* content, bool lstrip = false);
};

// The texts of the two files, empty for one that is absent; the second one's tokens win. Throws
// Error{kTokenizer}.
TokenizerConfig read_tokenizer_config(const std::string& config_json, const std::string& special_tokens_json);

// A token as these files and tokenizer.json write it: its text, or an object with content and flags.
AddedToken read_added_token(const Json& value, const Json::Source& source, const std::string& key);

// The flag, nothing when it is absent or null; throws Error{source.code} for any other type.
std::optional<bool> read_flag(const Json& object, const char* key, const Json::Source& source);

// The number as an id; throws Error{source.code} when it is none.
int32_t read_token_id(const Json& value, const Json::Source& source, const std::string& key);

}  // namespace albert
