// Reads tokenizer.json of the Hugging Face tokenizers library, for ALBERT (Unigram) and BERT-like (WordPiece)
// vocabularies.
#pragma once

#include <string>
#include <string_view>

#include "tokenizer_loader.h"

namespace albert {

// `config` is what stands beside the file; its tokens win over those of the file, its text switches do not,
// as in the library. Throws Error{kTokenizer}.
//
// The vocabulary, scores, character map, switches and added tokens of the file go into the same algorithms
// that spiece.model and vocab.txt use, which differ from the file's own pipeline in corners (Hangul, ties,
// numbers before a comma) and are what ALBERT models were trained with. Simplified: the parts of the pipeline
// may stand in any order; the post-processor only tells [CLS] and [SEP]; padding, truncation and decoder
// sections are not used.
LoadedTokenizer load_tokenizer_json(std::string_view text, const std::string& name, TokenizerConfig config);

}  // namespace albert
