// The Pretraining object that JavaScript holds: makes any batch of instances off-thread, given a cursor.
#pragma once

#include <memory>

#include "train/batches.h"
#include "wrapped.h"

namespace albert::binding {

class PretrainingWrap : public Wrapped<PretrainingWrap> {
 public:
  static constexpr WrappedClass kClass{"Pretraining",
                                       "openPretraining",
                                       {0x6a1d0f3b92c84e57, 0xb4c27e90135f8ad6},
                                       &Environment::pretraining_constructor};
  static Napi::Function define(Napi::Env env);

  // (tokenizer, files, options) -> Promise<Pretraining>
  static Napi::Value open(const Napi::CallbackInfo& info);
  // (path, tokens, segmentLengths, documentSegments) -> Promise<undefined>
  static Napi::Value write_shard(const Napi::CallbackInfo& info);

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
