// SentencePiece's own normalisation: the character map, metaspaces for spaces, the dummy prefix, no double
// spaces.
#pragma once

#include <string>
#include <string_view>

#include "charsmap.h"
#include "double_array.h"
#include "mapped_text.h"
#include "sentencepiece_model.h"

namespace albert {

class SentencePieceNormalizer {
 public:
  // `name` is the file's, for errors about its character map.
  SentencePieceNormalizer(const SentencePieceModel& model, const std::string& name);

  // Appends the normalised text to `out` and returns where it begins.
  size_t normalize(std::string_view text, const Span* spans, MappedText* out) const;

 private:
  struct Step {
    std::string_view normalized;
    size_t consumed;
  };
  Step step(std::string_view text) const;

  Charsmap charsmap_;
  DoubleArray user_defined_;  // pieces that are never rewritten
  bool plain_[128];           // ASCII that stands for itself while ASCII or the end follows
  bool add_dummy_prefix_, remove_extra_whitespaces_, whitespace_as_suffix_;
  std::string_view space_;  // what a space becomes
};

}  // namespace albert
