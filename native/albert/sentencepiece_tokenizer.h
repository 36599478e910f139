// The tokenizer of ALBERT's own vocabularies: preparation, SentencePiece, and the rule for numbers before a
// comma.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "sentencepiece_model.h"
#include "sentencepiece_normalizer.h"
#include "text_preparation.h"
#include "text_tokenizer.h"
#include "unigram.h"

namespace albert {

// Follows AlbertTokenizer of Hugging Face transformers 4, the one over SentencePiece itself ("slow").
class SentencePieceTokenizer final : public TextTokenizer {
 public:
  // Throws Error{kTokenizer} when the model contradicts itself; `name` is the file's.
  SentencePieceTokenizer(SentencePieceModel model, const Preparation& preparation, const std::string& name);

  void tokenize(std::u16string_view text, int32_t offset, TokenizerWorkspace* workspace,
                TokenList* out) const override;
  std::string join(const std::vector<Part>& parts) const override;

  const std::vector<std::string>& pieces() const override { return pieces_; }
  int32_t find(std::string_view piece) const override { return unigram_.find(piece); }
  int32_t unknown_id() const override { return unigram_.unknown_id(); }

 private:
  void add(const MappedText& text, uint32_t begin, uint32_t end, int32_t id, TokenList* out) const;
  void add_number_before_comma(const Unigram::Piece& piece, TokenizerWorkspace* workspace,
                               TokenList* out) const;
  std::string join_pieces(const std::vector<Part>& parts, size_t first, size_t last) const;

  Preparation preparation_;
  SentencePieceNormalizer normalizer_;
  Unigram unigram_;
  bool strips_first_space_;
  bool byte_fallback_;
  std::array<int32_t, 256> byte_ids_;  // with byte_fallback_
  int32_t comma_id_;
  std::vector<std::string> pieces_;  // [V]
};

}  // namespace albert
