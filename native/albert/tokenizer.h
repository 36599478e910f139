// Text to ids and back: ALBERT's text preparation, SentencePiece unigram or WordPiece, special tokens, pairs,
// offsets.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace albert {

enum class Truncation { kNone, kLongestFirst, kOnlyFirst, kOnlySecond };

struct EncodeOptions {
  bool add_special_tokens = true;     // [CLS] A [SEP] (B [SEP])
  bool split_special_tokens = false;  // true: '[MASK]' and its like in the text are plain characters
  int max_length = 0;                 // tokens in all, special ones included; 0: no limit
  Truncation truncation = Truncation::kLongestFirst;
  int stride = 0;                   // tokens that one overflow window shares with the next
  bool return_overflowing = false;  // also the windows that truncation cut off
};

// One sequence of T tokens. Special tokens have the empty offset [0, 0].
struct Encoding {
  std::vector<int32_t> ids;         // [T]
  std::vector<int32_t> types;       // [T] 0 for the first text and its [SEP], 1 for the second
  std::vector<int32_t> offsets;     // [T, 2] UTF-16 start and end in the text that the token came from
  std::vector<std::string> tokens;  // [T] UTF-8 pieces
  std::vector<Encoding> overflowing;
};

// A text, or a pair of them. UTF-16 as JavaScript holds it; a lone surrogate counts as U+FFFD.
struct TextInput {
  std::u16string_view text;
  std::u16string_view pair;
  bool has_pair = false;
};

// What tokenizer_config.json and special_tokens_map.json may say; the text of the files, empty when absent.
struct TokenizerFiles {
  std::string vocabulary_path;  // spiece.model, tokenizer.json or vocab.txt: which one is told by its content
  std::string tokenizer_config_json;  // content
  std::string special_tokens_json;    // content
};

// -1: the vocabulary has none.
struct SpecialTokens {
  int32_t pad = -1, unk = -1, cls = -1, sep = -1, mask = -1, bos = -1, eos = -1;
};

// Immutable after loading and safe to share between threads.
class Tokenizer {
 public:
  // Throws Error{kTokenizer} that names the file, what was expected and what came.
  static std::unique_ptr<Tokenizer> load(const TokenizerFiles& files);
  // The same from the bytes of a vocabulary file; files.vocabulary_path is not read, `name` is what errors
  // call the bytes.
  static std::unique_ptr<Tokenizer> load_bytes(std::string_view vocabulary, const std::string& name,
                                               const TokenizerFiles& files);
  virtual ~Tokenizer() = default;

  // Throws Error{kInvalidArgument} for options that contradict each other (stride too large, limit below the
  // special tokens) and Error{kTooLong} when truncation is kNone and the result exceeds max_length.
  virtual Encoding encode(const TextInput& input, const EncodeOptions& options) const = 0;
  // Text of the ids as the reference decoder writes it, UTF-8. Throws Error{kOutOfVocabulary}.
  virtual std::string decode(const std::vector<int32_t>& ids, bool skip_special_tokens) const = 0;

  virtual int32_t vocabulary_size() const = 0;
  virtual const SpecialTokens& special_tokens() const = 0;
  virtual bool has_id(int32_t id) const = 0;  // added tokens may leave gaps below vocabulary_size()
  virtual std::string id_to_token(int32_t id) const = 0;          // throws Error{kOutOfVocabulary}
  virtual int32_t token_to_id(std::string_view token) const = 0;  // -1 when there is no such piece
};

// Encodes many inputs on up to `threads` threads; the result does not depend on their number.
std::vector<Encoding> encode_batch(const Tokenizer& tokenizer, const std::vector<TextInput>& inputs,
                                   const EncodeOptions& options, int threads);

}  // namespace albert
