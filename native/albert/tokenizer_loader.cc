// Loads spiece.model, tokenizer.json or vocab.txt, told apart by their first bytes.
#include "tokenizer_loader.h"

#include <algorithm>

#include "sentencepiece_tokenizer.h"
#include "tokenizer_json.h"
#include "wordpiece.h"

namespace albert {
namespace {

constexpr size_t kMaxFileBytes = 256 << 20;

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

LoadedTokenizer load_sentencepiece(std::string_view bytes, const std::string& name, TokenizerConfig config) {
  Preparation preparation;
  preparation.do_lower_case = config.do_lower_case.value_or(preparation.do_lower_case);
  preparation.keep_accents = config.keep_accents.value_or(preparation.keep_accents);
  preparation.remove_space = config.remove_space.value_or(preparation.remove_space);
  SentencePieceModel model = read_sentencepiece_model(bytes, name);
  // Newer converters list the user-defined symbols of the model among the added tokens. They stay ordinary
  // pieces, as where tokenizer.json lists them.
  const auto is_symbol = [&model](const AddedToken& token) {
    const auto id = static_cast<size_t>(token.id);
    return !token.special && token.id >= 0 && id < model.pieces.size() &&
           model.types[id] == PieceType::kUserDefined && model.pieces[id] == token.content;
  };
  auto& added = config.added_tokens;
  added.erase(std::remove_if(added.begin(), added.end(), is_symbol), added.end());
  LoadedTokenizer loaded;
  loaded.text_tokenizer = std::make_unique<SentencePieceTokenizer>(std::move(model), preparation, name);
  set_albert_roles(*loaded.text_tokenizer, &config);
  loaded.config = std::move(config);
  return loaded;
}

// One piece a line, as Hugging Face's load_vocab reads it.
LoadedTokenizer load_vocab_txt(std::string_view text, const std::string& name, TokenizerConfig config) {
  std::vector<std::string> pieces;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    check(pieces.size() < SentencePieceModel::kMaxPieces, ErrorCode::kTokenizer, name, ": has more than ",
          SentencePieceModel::kMaxPieces, " lines, the most that is supported");
    pieces.emplace_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  WordPieceOptions options;
  options.do_lower_case = config.do_lower_case.value_or(true);
  options.strip_accents = config.strip_accents.value_or(options.do_lower_case);
  options.spaces_around_ideographs = config.tokenize_chinese_chars.value_or(true);
  set_bert_roles(&config);
  if (config.roles[kUnk]) options.unknown = config.roles[kUnk]->content;
  LoadedTokenizer loaded;
  loaded.text_tokenizer = std::make_unique<WordPieceTokenizer>(std::move(pieces), options, name);
  loaded.config = std::move(config);
  return loaded;
}

}  // namespace

void set_albert_roles(const TextTokenizer& vocabulary, TokenizerConfig* config) {
  config->set_default_role(kPad,
                           vocabulary.find("<pad>") < 0 && vocabulary.find("[PAD]") >= 0 ? "[PAD]" : "<pad>");
  config->set_default_role(kUnk, vocabulary.pieces()[vocabulary.unknown_id()].c_str());
  config->set_default_role(kCls, "[CLS]");
  config->set_default_role(kSep, "[SEP]");
  config->set_default_role(kMask, "[MASK]", true);
  config->set_default_role(kBos, "[CLS]");
  config->set_default_role(kEos, "[SEP]");
}

void set_bert_roles(TokenizerConfig* config) {
  config->set_default_role(kPad, "[PAD]");
  config->set_default_role(kUnk, "[UNK]");
  config->set_default_role(kCls, "[CLS]");
  config->set_default_role(kSep, "[SEP]");
  config->set_default_role(kMask, "[MASK]");
}

LoadedTokenizer load_tokenizer(std::string_view vocabulary, const std::string& name,
                               const TokenizerFiles& files) {
  check(!vocabulary.empty(), ErrorCode::kTokenizer, name,
        ": the file is empty; expected spiece.model, tokenizer.json or vocab.txt");
  check(vocabulary.size() <= kMaxFileBytes, ErrorCode::kTokenizer, name, ": has ", vocabulary.size(),
        " bytes, more than any vocabulary; expected spiece.model, tokenizer.json or vocab.txt");
  TokenizerConfig config = read_tokenizer_config(files.tokenizer_config_json, files.special_tokens_json);
  // A ModelProto begins with the tag of its first piece, which as text would be an empty line.
  if (vocabulary[0] == '\n') return load_sentencepiece(vocabulary, name, std::move(config));
  const size_t first = vocabulary.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && vocabulary[first] == '{' && !ends_with(name, ".txt"))
    return load_tokenizer_json(vocabulary, name, std::move(config));
  return load_vocab_txt(vocabulary, name, std::move(config));
}

}  // namespace albert
