// Which pieces of a vocabulary begin a word, so that whole words are masked.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "albert/tokenizer.h"

namespace albert {

// The rules of google-research/albert, create_pretraining_data.py (_is_start_piece_sp and _is_start_piece).
bool starts_word_sentencepiece(std::string_view piece);
inline bool starts_word_wordpiece(std::string_view piece) { return piece.substr(0, 2) != "##"; }

// [V] 1 for pieces that begin a word. A vocabulary with pieces in '##' and none in U+2581 is WordPiece's.
std::vector<uint8_t> word_starts(const Tokenizer& tokenizer);

}  // namespace albert
