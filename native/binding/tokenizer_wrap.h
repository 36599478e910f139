// The Tokenizer object that JavaScript holds: encodes in place or in batches off-thread, and decodes.
#pragma once

#include <memory>

#include "albert/tokenizer.h"
#include "wrapped.h"

namespace albert::binding {

class TokenizerWrap : public Wrapped<TokenizerWrap> {
 public:
  static constexpr WrappedClass kClass{"Tokenizer",
                                       "loadTokenizer",
                                       {0x27b8e49d6c5f4013, 0xa3905be7d81f4c62},
                                       &Environment::tokenizer_constructor};
  static Napi::Function define(Napi::Env env);

  // (vocabularyPath, tokenizerConfigJson, specialTokensJson, threads) -> Promise<Tokenizer>
  static Napi::Value load(const Napi::CallbackInfo& info);
  // (text, lowerCase) -> the text as prepare_text() gives it to SentencePiece; false keeps case and accents
  static Napi::Value prepare(const Napi::CallbackInfo& info);

  explicit TokenizerWrap(const Napi::CallbackInfo& info);

  std::shared_ptr<const Tokenizer> shared() const { return loaded_.tokenizer; }

 private:
  struct Loaded {
    std::shared_ptr<const Tokenizer> tokenizer;
    int threads = 1;  // for batches
  };

  Napi::Value encode(const Napi::CallbackInfo& info);
  Napi::Value encode_batch(const Napi::CallbackInfo& info);
  Napi::Value decode(const Napi::CallbackInfo& info);
  Napi::Value id_to_token(const Napi::CallbackInfo& info);
  Napi::Value token_to_id(const Napi::CallbackInfo& info);

  Loaded loaded_;
};

}  // namespace albert::binding
