// ALBERT's preparation of a text before SentencePiece: spaces, quotes, accents and case.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "mapped_text.h"

namespace albert {

// The switches of tokenizer_config.json, with the defaults of AlbertTokenizer.
struct Preparation {
  bool remove_space = true;    // strip the text and make each run of whitespace one space
  bool rewrite_quotes = true;  // `` and '' become "; later ports do it, Google's code does not
  bool keep_accents = false;   // false: NFKD, then drop the characters of a non-zero combining class
  bool do_lower_case = true;   // full mapping, with the final sigma of Greek words
};

// Appends the prepared text; its spans count from `offset`. The steps and their order are those of
// AlbertTokenizer.preprocess_text in Hugging Face transformers 4.
void prepare_text(std::u16string_view text, int32_t offset, const Preparation& preparation, MappedText* out);

// Makes a lower-cased U+03C3 at each of these byte positions U+03C2 where it ends a word: a cased letter
// stands before it and none after it, case-ignorable characters aside (SpecialCasing.txt, and Python's
// str.lower). `begin` is where the text starts in `out`. Correct on lower-cased text, because lowering
// changes neither property.
void resolve_final_sigmas(size_t begin, const std::vector<size_t>& positions, MappedText* out);

}  // namespace albert
