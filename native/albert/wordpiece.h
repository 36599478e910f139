// The tokenizer of vocabularies in BERT's manner (Chinese ALBERT models): basic tokens, then greedy longest
// pieces.
#pragma once

#include <string>
#include <vector>

#include "double_array.h"
#include "text_tokenizer.h"

namespace albert {

struct WordPieceOptions {
  std::string unknown = "[UNK]";
  std::string continuation = "##";
  size_t max_word_characters = 200;  // a longer word is unknown
  bool clean_text = true;            // drop control characters, make whitespace spaces
  bool spaces_around_ideographs = true;
  bool do_lower_case = true;
  bool strip_accents = true;  // NFD, then drop nonspacing marks
};

// BasicTokenizer and WordpieceTokenizer of google-research/albert (tokenization.py).
class WordPieceTokenizer final : public TextTokenizer {
 public:
  // pieces[id] is the text of the piece; where a text occurs twice its last id counts, as in Hugging Face's
  // load_vocab. Throws Error{kTokenizer} when the unknown piece is missing; `name` is the file's.
  WordPieceTokenizer(std::vector<std::string> pieces, const WordPieceOptions& options,
                     const std::string& name);

  void tokenize(std::u16string_view text, int32_t offset, TokenizerWorkspace* workspace,
                TokenList* out) const override;
  std::string join(const std::vector<Part>& parts) const override;

  const std::vector<std::string>& pieces() const override { return pieces_; }
  int32_t find(std::string_view piece) const override { return words_.find(piece); }
  int32_t unknown_id() const override { return unknown_id_; }

 private:
  void clean(std::u16string_view text, int32_t offset, MappedText* out) const;
  void split_word(const MappedText& text, size_t begin, size_t end, TokenizerWorkspace* workspace,
                  TokenList* out) const;
  void add_pieces(const MappedText& text, size_t begin, size_t end, TokenList* out) const;

  WordPieceOptions options_;
  std::vector<std::string> pieces_;  // [V]
  DoubleArray words_;                // whole pieces
  DoubleArray continuations_;        // pieces after their '##'
  int32_t unknown_id_;
};

}  // namespace albert
