// The Tokenizer object that JavaScript holds: encodes in place or in batches off-thread, and decodes.
#pragma once

#include <memory>

#include "albert/tokenizer.h"
#include "environment.h"

namespace albert::binding {

class TokenizerWrap : public Napi::ObjectWrap<TokenizerWrap> {
 public:
  static Napi::Function define(Napi::Env env);

  // (vocabularyPath, tokenizerConfigJson, specialTokensJson, threads) -> Promise<Tokenizer>
  static Napi::Value load(const Napi::CallbackInfo& info);

  // Called by ObjectWrap before every method: refuses a receiver that is no Tokenizer.
  static TokenizerWrap* Unwrap(Napi::Object object);

  explicit TokenizerWrap(const Napi::CallbackInfo& info);

  std::shared_ptr<const Tokenizer> shared() const { return loaded_.tokenizer; }

 private:
  struct Loaded {
    std::shared_ptr<const Tokenizer> tokenizer;
    int threads = 1;  // for batches
  };
  static Napi::Value wrap(Napi::Env env, Loaded loaded);

  Napi::Value encode(const Napi::CallbackInfo& info);
  Napi::Value encode_batch(const Napi::CallbackInfo& info);
  Napi::Value decode(const Napi::CallbackInfo& info);
  Napi::Value id_to_token(const Napi::CallbackInfo& info);
  Napi::Value token_to_id(const Napi::CallbackInfo& info);

  Loaded loaded_;
};

}  // namespace albert::binding
