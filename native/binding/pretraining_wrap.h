// The Pretraining object that JavaScript holds: makes any batch of instances off-thread, given a cursor.
#pragma once

#include <memory>

#include "environment.h"
#include "train/batches.h"

namespace albert::binding {

class PretrainingWrap : public Napi::ObjectWrap<PretrainingWrap> {
 public:
  static Napi::Function define(Napi::Env env);

  // (tokenizer, files, options) -> Promise<Pretraining>
  static Napi::Value open(const Napi::CallbackInfo& info);
  // (path, tokens, segmentLengths, documentSegments) -> Promise<undefined>
  static Napi::Value write_shard(const Napi::CallbackInfo& info);

  // Called by ObjectWrap before every method: refuses a receiver that is no Pretraining.
  static PretrainingWrap* Unwrap(Napi::Object object);

  explicit PretrainingWrap(const Napi::CallbackInfo& info);

 private:
  struct Opened {
    std::shared_ptr<InstanceSource> source;
    uint64_t seed = 0;
    bool shuffle = true;
  };

  // (epoch, index, count, epochs) -> Promise<batch>
  Napi::Value batch(const Napi::CallbackInfo& info);
  // (epoch) -> Promise<number>
  Napi::Value size(const Napi::CallbackInfo& info);

  Opened opened_;
};

}  // namespace albert::binding
