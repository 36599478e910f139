// Reads the two small JSON files that stand beside a vocabulary.
#include "tokenizer_config.h"

#include <charconv>
#include <cmath>
#include <system_error>

namespace albert {
namespace {

constexpr const char* kRoleKeys[kRoleCount] = {"pad_token",  "unk_token", "cls_token", "sep_token",
                                               "mask_token", "bos_token", "eos_token"};
constexpr double kMaxTokenId = 1 << 28;

void read_roles(const Json& object, const Json::Source& source, TokenizerConfig* config) {
  for (int role = 0; role < kRoleCount; ++role) {
    const Json* value = object.find(kRoleKeys[role]);
    if (value && !value->is_null()) config->roles[role] = read_added_token(*value, source, kRoleKeys[role]);
  }
  const Json* additional = object.find("additional_special_tokens");
  if (!additional || additional->is_null()) return;
  check(additional->is_array(), source.code, source.name,
        ": expected an array for 'additional_special_tokens', found ", additional->describe());
  for (const Json& token : additional->array())
    config->added_tokens.push_back(read_added_token(token, source, "additional_special_tokens"));
}

}  // namespace

void TokenizerConfig::set_default_role(Role role, const char* content, bool lstrip) {
  if (roles[role]) return;
  roles[role].emplace();
  roles[role]->content = content;
  roles[role]->lstrip = lstrip;
}

std::optional<bool> read_flag(const Json& object, const char* key, const Json::Source& source) {
  const Json* value = object.find(key);
  if (!value || value->is_null()) return std::nullopt;
  check(value->is_bool(), source.code, source.name, ": expected true or false for '", key, "', found ",
        value->describe());
  return value->boolean();
}

int32_t read_token_id(const Json& value, const Json::Source& source, const std::string& key) {
  const double id = value.number();
  check(value.is_number() && id >= 0 && id <= kMaxTokenId && id == std::floor(id), source.code, source.name,
        ": expected a token id for '", key, "', found ", value.describe());
  return static_cast<int32_t>(id);
}

AddedToken read_added_token(const Json& value, const Json::Source& source, const std::string& key) {
  AddedToken token;
  if (value.is_object()) {
    const Json* content = value.find("content");
    if (content) token.content = content->string();
    token.lstrip = read_flag(value, "lstrip", source).value_or(false);
    token.rstrip = read_flag(value, "rstrip", source).value_or(false);
    token.single_word = read_flag(value, "single_word", source).value_or(false);
    token.special = read_flag(value, "special", source).value_or(true);
  } else {
    token.content = value.string();
  }
  check(!token.content.empty(), source.code, source.name,
        ": expected the text of a token, or an object with 'content', for '", key, "', found ",
        value.describe());
  return token;
}

TokenizerConfig read_tokenizer_config(const std::string& config_json,
                                      const std::string& special_tokens_json) {
  TokenizerConfig config;
  if (!config_json.empty()) {
    const Json::Source source{ErrorCode::kTokenizer, "tokenizer_config.json"};
    const Json json = Json::parse(config_json, source);
    check(json.is_object(), source.code, source.name, ": expected an object, found ", json.describe());
    config.do_lower_case = read_flag(json, "do_lower_case", source);
    config.keep_accents = read_flag(json, "keep_accents", source);
    config.remove_space = read_flag(json, "remove_space", source);
    config.strip_accents = read_flag(json, "strip_accents", source);
    config.tokenize_chinese_chars = read_flag(json, "tokenize_chinese_chars", source);
    config.clean_up_tokenization_spaces = read_flag(json, "clean_up_tokenization_spaces", source);
    read_roles(json, source, &config);
    if (const Json* decoder = json.find("added_tokens_decoder")) {
      for (const auto& [key, value] : decoder->object()) {
        int32_t id = -1;
        const char* const end = key.data() + key.size();
        const auto [at, error] = std::from_chars(key.data(), end, id);
        check(error == std::errc() && at == end && id >= 0 && id <= kMaxTokenId, source.code, source.name,
              ": expected token ids as the keys of 'added_tokens_decoder', found '", key, "'");
        config.added_tokens.push_back(read_added_token(value, source, "added_tokens_decoder"));
        config.added_tokens.back().id = id;
      }
    }
  }
  if (!special_tokens_json.empty()) {
    const Json::Source source{ErrorCode::kTokenizer, "special_tokens_map.json"};
    const Json json = Json::parse(special_tokens_json, source);
    check(json.is_object(), source.code, source.name, ": expected an object, found ", json.describe());
    read_roles(json, source, &config);
  }
  return config;
}

}  // namespace albert
