// Loads a tokenizer from hostile bytes and makes it encode and decode; anything but the promised errors is a
// finding.
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>

#include "albert/tokenizer.h"
#include "support/error.h"

namespace albert::test {

inline void require(bool condition) {
  if (!condition) std::abort();
}

inline void use(const Tokenizer& tokenizer, std::u16string_view text, bool special) {
  EncodeOptions options;
  options.add_special_tokens = options.split_special_tokens = special;
  const Encoding encoding = tokenizer.encode({text, text, true}, options);
  const size_t count = encoding.ids.size();
  require(encoding.types.size() == count && encoding.tokens.size() == count &&
          encoding.offsets.size() == 2 * count);
  for (size_t i = 0; i < count; ++i) {
    require(encoding.ids[i] >= 0 && encoding.ids[i] < tokenizer.vocabulary_size());
    require(encoding.offsets[2 * i] >= 0 && encoding.offsets[2 * i] <= encoding.offsets[2 * i + 1]);
    require(static_cast<size_t>(encoding.offsets[2 * i + 1]) <= text.size());
  }
  tokenizer.decode(encoding.ids, false);
  tokenizer.decode(encoding.ids, true);
}

inline void load_and_use(std::string_view bytes, const std::string& name, const std::string& config = "") {
  static const std::u16string texts[] = {u"",
                                         u" ",
                                         u"Call me Ishmael.",
                                         u"In 1851, 1,851, ``the'' (whale) - [MASK] <unk>",
                                         u"\u00BD caf\u00E9 \uD55C\uAE00 \u9BE8",
                                         u"\u200B\u3000\u0391\u03A3 \u0130\uFB01 \U0001F600\U0001F600 \uFDFA",
                                         std::u16string(300, u'x'),
                                         std::u16string(1, 0xD800) + std::u16string(2, u'\0')};
  TokenizerFiles files;
  files.tokenizer_config_json = config;
  std::unique_ptr<Tokenizer> tokenizer;
  try {
    tokenizer = Tokenizer::load_bytes(bytes, name, files);
  } catch (const Error& error) {
    require(error.code() == ErrorCode::kTokenizer);
    return;
  }
  for (const std::u16string& text : texts) {
    for (const bool special : {false, true}) {
      try {
        use(*tokenizer, text, special);
      } catch (const Error& error) {
        // A vocabulary may lack [CLS], have gaps between its ids, or carry a damaged character map.
        require(error.code() == ErrorCode::kTokenizer || error.code() == ErrorCode::kOutOfVocabulary);
      }
    }
  }
}

}  // namespace albert::test
