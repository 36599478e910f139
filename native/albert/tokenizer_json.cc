// Maps the sections of tokenizer.json to the switches of the two tokenizers.
#include "tokenizer_json.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "sentencepiece_tokenizer.h"
#include "wordpiece.h"

namespace albert {
namespace {

constexpr size_t kMaxPieces = SentencePieceModel::kMaxPieces;
// What the converter of transformers takes from the score of a piece such as '▁92,', in place of the rule for
// numbers before a comma, which applies here.
constexpr double kNumberPenalty = 100;

// Collects the steps of a normaliser or pre-tokeniser, through the sequences that hold them.
void collect_steps(const Json* step, std::vector<const Json*>* steps) {
  if (!step || !step->is_object()) return;
  const Json* type = step->find("type");
  for (const char* key : {"normalizers", "pretokenizers"}) {
    const Json* children = type && type->string() == "Sequence" ? step->find(key) : nullptr;
    if (!children) continue;
    for (const Json& child : children->array()) collect_steps(&child, steps);
    return;
  }
  steps->push_back(step);
}

const Json* find_step(const std::vector<const Json*>& steps, std::string_view type) {
  for (const Json* step : steps) {
    const Json* name = step->find("type");
    if (name && name->string() == type) return step;
  }
  return nullptr;
}

bool replaces(const std::vector<const Json*>& steps, std::string_view what) {
  for (const Json* step : steps) {
    const Json* pattern = step->find("pattern");
    const Json* literal = pattern ? pattern->find("String") : nullptr;
    if (literal && literal->string() == what) return true;
  }
  return false;
}

std::string decode_base64(const std::string& text, const Json::Source& source) {
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=') break;
    uint32_t digit = 0;
    if (c >= 'A' && c <= 'Z')
      digit = c - 'A';
    else if (c >= 'a' && c <= 'z')
      digit = c - 'a' + 26;
    else if (c >= '0' && c <= '9')
      digit = c - '0' + 52;
    else if (c == '+' || c == '/')
      digit = c == '+' ? 62 : 63;
    else
      throw Error(source.code,
                  source.name + ": expected base64 in 'precompiled_charsmap', found another character");
    bits = bits << 6 | digit;
    if ((count += 6) >= 8) bytes += static_cast<char>(bits >> (count -= 8) & 255);
  }
  return bytes;
}

bool is_penalised_number(const std::string& piece) {
  return piece.size() >= 2 && piece.back() == ',' && piece[piece.size() - 2] >= '0' &&
         piece[piece.size() - 2] <= '9';
}

void read_vocabulary(const Json& model, const Json::Source& source, SentencePieceModel* out) {
  const Json* vocabulary = model.find("vocab");
  check(vocabulary && vocabulary->is_array() && vocabulary->array().size() <= kMaxPieces, source.code,
        source.name, ": expected at most ", kMaxPieces,
        " [piece, score] pairs in 'model.vocab' of a Unigram model");
  double lowest = 0;
  for (const Json& entry : vocabulary->array()) {
    const std::vector<Json>& pair = entry.array();
    check(pair.size() == 2 && pair[0].is_string() && !pair[0].string().empty() && pair[1].is_number() &&
              std::abs(pair[1].number()) < 1e30,
          source.code, source.name, ": expected [piece, score] as entry ", out->pieces.size(),
          " of 'model.vocab', found ", entry.describe());
    out->pieces.push_back(pair[0].string());
    if (!is_penalised_number(pair[0].string())) lowest = std::min(lowest, pair[1].number());
  }
  for (const Json& entry : vocabulary->array()) {
    double score = entry.array()[1].number();
    if (is_penalised_number(entry.array()[0].string()) && score < lowest - kNumberPenalty / 2)
      score += kNumberPenalty;
    out->scores.push_back(static_cast<float>(score));
  }
  out->types.assign(out->pieces.size(), PieceType::kNormal);
  const Json* unknown = model.find("unk_id");
  check(unknown && !unknown->is_null(), source.code, source.name,
        ": expected the id of the unknown piece in 'model.unk_id'");
  const int32_t unknown_id = read_token_id(*unknown, source, "model.unk_id");
  check(static_cast<size_t>(unknown_id) < out->pieces.size(), source.code, source.name,
        ": 'model.unk_id' is ", unknown_id, ", but there are ", out->pieces.size(), " pieces");
  out->types[unknown_id] = PieceType::kUnknown;
}

// Special tokens among the pieces become control pieces. The others that newer converters add, which are the
// user-defined symbols of the model, stay ordinary pieces: made into added tokens they would give the text
// after '(' or '-' a metaspace that the models never saw.
void read_added_tokens(const Json& json, const Json::Source& source, SentencePieceModel* model,
                       TokenizerConfig* config) {
  const Json* tokens = json.find("added_tokens");
  if (!tokens || tokens->is_null()) return;
  check(tokens->is_array(), source.code, source.name, ": expected an array for 'added_tokens', found ",
        tokens->describe());
  std::set<std::string> ordinary;
  for (const Json& value : tokens->array()) {
    AddedToken token = read_added_token(value, source, "added_tokens");
    const Json* id = value.find("id");
    check(id != nullptr, source.code, source.name, ": expected an id for the added token '", token.content,
          "'");
    token.id = read_token_id(*id, source, "added_tokens");
    const auto index = static_cast<size_t>(token.id);
    if (model && index < model->pieces.size() && model->pieces[index] == token.content) {
      if (!token.special) {
        model->types[index] = PieceType::kUserDefined;
        ordinary.insert(token.content);
        continue;
      }
      if (model->types[index] == PieceType::kNormal) model->types[index] = PieceType::kControl;
    }
    config->added_tokens.push_back(std::move(token));
  }
  // tokenizer_config.json repeats them.
  auto& added = config->added_tokens;
  added.erase(std::remove_if(added.begin(), added.end(),
                             [&](const AddedToken& token) { return ordinary.count(token.content) > 0; }),
              added.end());
}

LoadedTokenizer load_unigram(const Json& json, const Json& model_json, const Json::Source& source,
                             TokenizerConfig config) {
  std::vector<const Json*> normalizers, pre_tokenizers;
  collect_steps(json.find("normalizer"), &normalizers);
  collect_steps(json.find("pre_tokenizer"), &pre_tokenizers);

  SentencePieceModel model;
  read_vocabulary(model_json, source, &model);
  read_added_tokens(json, source, &model, &config);
  model.byte_fallback = read_flag(model_json, "byte_fallback", source).value_or(false);
  for (int byte = 0; byte < 256 && model.byte_fallback; ++byte) {
    const auto found = std::find(model.pieces.begin(), model.pieces.end(), byte_piece(byte));
    if (found != model.pieces.end()) model.types[found - model.pieces.begin()] = PieceType::kByte;
  }
  if (const Json* precompiled = find_step(normalizers, "Precompiled")) {
    const Json* charsmap = precompiled->find("precompiled_charsmap");
    if (charsmap) model.charsmap = decode_base64(charsmap->string(), source);
  }
  if (const Json* metaspace = find_step(pre_tokenizers, "Metaspace")) {
    const Json* scheme = metaspace->find("prepend_scheme");
    model.add_dummy_prefix = scheme && scheme->is_string()
                                 ? scheme->string() != "never"
                                 : read_flag(*metaspace, "add_prefix_space", source).value_or(true);
  }
  Preparation preparation;
  preparation.rewrite_quotes = replaces(normalizers, "``") || replaces(normalizers, "''");
  preparation.keep_accents = !find_step(normalizers, "StripAccents");
  preparation.do_lower_case = find_step(normalizers, "Lowercase") != nullptr;

  LoadedTokenizer loaded;
  loaded.text_tokenizer =
      std::make_unique<SentencePieceTokenizer>(std::move(model), preparation, source.name);
  set_albert_roles(*loaded.text_tokenizer, &config);
  loaded.config = std::move(config);
  return loaded;
}

LoadedTokenizer load_wordpiece(const Json& json, const Json& model, const Json::Source& source,
                               TokenizerConfig config) {
  const Json* vocabulary = model.find("vocab");
  check(vocabulary && vocabulary->is_object() && vocabulary->object().size() <= kMaxPieces, source.code,
        source.name, ": expected an object of at most ", kMaxPieces,
        " pieces and ids in 'model.vocab' of a WordPiece model");
  std::vector<std::string> pieces;
  for (const auto& [piece, value] : vocabulary->object()) {
    const auto id = static_cast<size_t>(read_token_id(value, source, piece));
    check(id < kMaxPieces, source.code, source.name, ": the id ", id, " of piece '", piece, "' is above ",
          kMaxPieces);
    if (id >= pieces.size()) pieces.resize(id + 1);
    pieces[id] = piece;
  }
  WordPieceOptions options;
  if (const Json* value = model.find("unk_token"); value && value->is_string())
    options.unknown = value->string();
  if (const Json* value = model.find("continuing_subword_prefix"); value && value->is_string())
    options.continuation = value->string();
  if (const Json* value = model.find("max_input_chars_per_word"); value && !value->is_null())
    options.max_word_characters =
        static_cast<size_t>(read_token_id(*value, source, "max_input_chars_per_word"));
  std::vector<const Json*> normalizers;
  collect_steps(json.find("normalizer"), &normalizers);
  const Json* bert = find_step(normalizers, "BertNormalizer");
  options.do_lower_case = bert && read_flag(*bert, "lowercase", source).value_or(true);
  options.strip_accents = bert && read_flag(*bert, "strip_accents", source).value_or(options.do_lower_case);
  options.clean_text = bert && read_flag(*bert, "clean_text", source).value_or(true);
  options.spaces_around_ideographs = bert && read_flag(*bert, "handle_chinese_chars", source).value_or(true);
  // The decoder of this file does the same on its own account.
  const Json* decoder = json.find("decoder");
  if (decoder && decoder->is_object() && read_flag(*decoder, "cleanup", source).value_or(false))
    config.clean_up_tokenization_spaces = true;
  read_added_tokens(json, source, nullptr, &config);
  set_bert_roles(&config);

  LoadedTokenizer loaded;
  loaded.text_tokenizer = std::make_unique<WordPieceTokenizer>(std::move(pieces), options, source.name);
  loaded.config = std::move(config);
  return loaded;
}

// [CLS] and [SEP] as the template names them: the first and the last special token of a single text.
void read_template(const Json& json, TokenizerConfig* config) {
  const Json* processor = json.find("post_processor");
  const Json* single = processor ? processor->find("single") : nullptr;
  if (!single) return;
  std::vector<std::string> names;
  for (const Json& step : single->array()) {
    const Json* special = step.find("SpecialToken");
    const Json* id = special ? special->find("id") : nullptr;
    if (id && !id->string().empty()) names.push_back(id->string());
  }
  if (names.size() != 2) return;
  config->set_default_role(kCls, names[0].c_str());
  config->set_default_role(kSep, names[1].c_str());
}

}  // namespace

LoadedTokenizer load_tokenizer_json(std::string_view text, const std::string& name, TokenizerConfig config) {
  const Json::Source source{ErrorCode::kTokenizer, name};
  const Json json = Json::parse(text, source);
  const Json* model = json.find("model");
  check(model && model->is_object(), source.code, name, ": expected the object 'model' of a tokenizer.json");
  read_template(json, &config);
  // Early files do not name the type; a vocabulary of pairs is Unigram's.
  const Json* type = model->find("type");
  const Json* vocabulary = model->find("vocab");
  const std::string kind = type                                   ? type->string()
                           : vocabulary && vocabulary->is_array() ? "Unigram"
                                                                  : "WordPiece";
  if (kind == "Unigram") return load_unigram(json, *model, source, std::move(config));
  if (kind == "WordPiece") return load_wordpiece(json, *model, source, std::move(config));
  throw Error(
      source.code,
      str(name, ": expected a model of type Unigram or WordPiece, the ones ALBERT models use, found '", kind,
          "'"));
}

}  // namespace albert
