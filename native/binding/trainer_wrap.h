// The Trainer object that JavaScript holds: steps, evaluates, saves and restores one albert::Trainer.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "train/trainer.h"
#include "wrapped.h"

namespace albert::binding {

class TrainerWrap : public Wrapped<TrainerWrap> {
 public:
  static constexpr WrappedClass kClass{"Trainer",
                                       "createTrainer",
                                       {0x2f7a90c4e15b4d88, 0xa3b61e7d5c0f4921},
                                       &Environment::trainer_constructor};
  static Napi::Function define(Napi::Env env);

  // (model, trainingOptions, optimizerOptions, seed) -> Promise<Trainer>
  static Napi::Value create(const Napi::CallbackInfo& info);
  // (path) -> Promise<string>: the note of a saved file
  static Napi::Value note(const Napi::CallbackInfo& info);
  // (model, batch, trainingOptions) -> Promise<{ losses, gradients }>: exact gradients, nothing changes
  static Napi::Value backward(const Napi::CallbackInfo& info);

  explicit TrainerWrap(const Napi::CallbackInfo& info);
  void Finalize(Napi::BasicEnv env) override;

 private:
  // One call at a time, whichever thread of the pool it runs on.
  struct Shared {
    std::mutex mutex;
    std::unique_ptr<Trainer> trainer;  // null once disposed
    std::atomic<int64_t> bytes{0};     // that it takes
    // What the garbage collector knows of them, and whether the JavaScript object is gone: for the JavaScript
    // thread alone.
    int64_t reported_bytes = 0;
    bool abandoned = false;

    Trainer& live() const;
    void count();  // after a call that may have changed `bytes`
    void report(Napi::BasicEnv env);
  };
  Napi::Value step(const Napi::CallbackInfo& info);      // (batches) -> Promise<result>
  Napi::Value evaluate(const Napi::CallbackInfo& info);  // (batch) -> Promise<losses>
  Napi::Value save(const Napi::CallbackInfo& info);      // (path, note) -> Promise
  Napi::Value restore(const Napi::CallbackInfo& info);   // (path) -> Promise
  // (model) -> Promise: the model goes on with these weights
  Napi::Value publish(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);  // () -> Promise

  std::shared_ptr<Shared> shared_;
};

}  // namespace albert::binding
