// Connects the Tokenizer object to the core; text crosses as UTF-16, so that offsets are JavaScript's own.
#include "tokenizer_wrap.h"

#include <algorithm>

#include "albert/text_preparation.h"
#include "convert.h"
#include "promise_worker.h"

namespace albert::binding {

namespace {

// Starting a thread costs about as much as encoding this many UTF-16 units.
constexpr size_t kUnitsPerThread = 16 * 1024;

// The texts of a batch, owned while a worker thread reads them.
struct Texts {
  std::vector<std::u16string> firsts, seconds;
  std::vector<TextInput> inputs;
  size_t units = 0;
};

std::shared_ptr<Texts> read_texts(const Napi::Value& texts_value, const Napi::Value& pairs_value) {
  const Napi::Array array = to_array(texts_value, "texts");
  const bool paired = pairs_value.IsArray();
  check(!paired || pairs_value.As<Napi::Array>().Length() == array.Length(), ErrorCode::kInvalidArgument,
        "expected as many pairs as texts");
  auto texts = std::make_shared<Texts>();
  const uint32_t count = array.Length();
  texts->firsts.resize(count);
  texts->seconds.resize(count);
  texts->inputs.resize(count);
  for (uint32_t i = 0; i < count; i++) {
    // Millions of texts would otherwise keep a handle each until the call returns.
    Napi::HandleScope scope(array.Env());
    TextInput& input = texts->inputs[i];
    texts->firsts[i] = to_utf16(array.Get(i), "text");
    input.text = texts->firsts[i];
    const Napi::Value pair = paired ? pairs_value.As<Napi::Array>().Get(i) : array.Env().Null();
    if (!pair.IsNull()) {
      texts->seconds[i] = to_utf16(pair, "text_pair");
      input.pair = texts->seconds[i];
      input.has_pair = true;
    }
    texts->units += input.text.size() + input.pair.size();
  }
  return texts;
}

}  // namespace

Napi::Function TokenizerWrap::define(Napi::Env env) {
  return DefineClass(env, "Tokenizer",
                     {InstanceMethod("encode", &TokenizerWrap::encode),
                      InstanceMethod("encodeBatch", &TokenizerWrap::encode_batch),
                      InstanceMethod("decode", &TokenizerWrap::decode),
                      InstanceMethod("idToToken", &TokenizerWrap::id_to_token),
                      InstanceMethod("tokenToId", &TokenizerWrap::token_to_id)});
}

Napi::Value TokenizerWrap::prepare(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Preparation preparation;
    preparation.do_lower_case = to_bool(info[1], "lowerCase");
    preparation.keep_accents = !preparation.do_lower_case;
    MappedText prepared;
    prepare_text(to_utf16(info[0], "text"), 0, preparation, &prepared);
    return Napi::String::New(info.Env(), prepared.bytes(), prepared.size());
  });
}

TokenizerWrap::TokenizerWrap(const Napi::CallbackInfo& info) : Wrapped(info) {
  Napi::Env env = info.Env();
  loaded_ = contents_of<Loaded>(info);
  const SpecialTokens& special = loaded_.tokenizer->special_tokens();
  Napi::Object ids = Napi::Object::New(env);
  ids.Set("pad", Napi::Number::New(env, special.pad));
  ids.Set("unk", Napi::Number::New(env, special.unk));
  ids.Set("cls", Napi::Number::New(env, special.cls));
  ids.Set("sep", Napi::Number::New(env, special.sep));
  ids.Set("mask", Napi::Number::New(env, special.mask));
  ids.Set("bos", Napi::Number::New(env, special.bos));
  ids.Set("eos", Napi::Number::New(env, special.eos));
  Napi::Object self = info.This().As<Napi::Object>();
  self.Set("vocabSize", Napi::Number::New(env, loaded_.tokenizer->vocabulary_size()));
  self.Set("specialTokens", ids);
}

Napi::Value TokenizerWrap::load(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    TokenizerFiles files;
    files.vocabulary_path = to_path(info[0], "vocabularyPath");
    files.tokenizer_config_json = to_text(info[1], "tokenizerConfigJson");
    files.special_tokens_json = to_text(info[2], "specialTokensJson");
    const int threads = to_int(info[3], "threads");
    return PromiseWorker<Loaded>::run(
        info.Env(), "albert-native tokenizer",
        [files, threads] {
          return Loaded{Tokenizer::load(files), threads};
        },
        make<Loaded>);
  });
}

Napi::Value TokenizerWrap::encode(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const std::u16string text = to_utf16(info[0], "text");
    TextInput input;
    input.text = text;
    std::u16string pair;
    if (!info[1].IsNull()) {
      pair = to_utf16(info[1], "text_pair");
      input.pair = pair;
      input.has_pair = true;
    }
    const bool tokens = to_bool(to_object(info[2], "options").Get("tokens"), "tokens");
    return encoding_to_js(info.Env(), loaded_.tokenizer->encode(input, to_encode_options(info[2])), tokens);
  });
}

Napi::Value TokenizerWrap::encode_batch(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto texts = read_texts(info[0], info[1]);
    const EncodeOptions options = to_encode_options(info[2]);
    const bool tokens = to_bool(to_object(info[2], "options").Get("tokens"), "tokens");
    const int useful = static_cast<int>(std::min<size_t>(1 + texts->units / kUnitsPerThread, 1024));
    return PromiseWorker<std::vector<Encoding>>::run(
        info.Env(), "albert-native encode",
        [texts, options, loaded = loaded_, threads = std::min(useful, loaded_.threads)] {
          return albert::encode_batch(*loaded.tokenizer, texts->inputs, options, threads);
        },
        [tokens](Napi::Env env, const std::vector<Encoding>& encodings) -> Napi::Value {
          Napi::Array array = Napi::Array::New(env, encodings.size());
          for (size_t i = 0; i < encodings.size(); i++) {
            Napi::HandleScope scope(env);
            array.Set(static_cast<uint32_t>(i), encoding_to_js(env, encodings[i], tokens));
          }
          return array;
        });
  });
}

Napi::Value TokenizerWrap::decode(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const bool skip = to_bool(info[1], "skip_special_tokens");
    return Napi::String::New(info.Env(), loaded_.tokenizer->decode(to_ints(info[0], "ids"), skip));
  });
}

Napi::Value TokenizerWrap::id_to_token(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return Napi::String::New(info.Env(), loaded_.tokenizer->id_to_token(to_int(info[0], "id")));
  });
}

Napi::Value TokenizerWrap::token_to_id(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return Napi::Number::New(info.Env(), loaded_.tokenizer->token_to_id(to_text(info[0], "token")));
  });
}

}  // namespace albert::binding
