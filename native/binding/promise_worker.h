// The one template behind every asynchronous export that runs in libuv's pool: work off-thread, convert
// on-thread.
#pragma once

#include <functional>
#include <optional>
#include <utility>

#include "convert.h"

namespace albert::binding {

template <typename Result>
class PromiseWorker : public Napi::AsyncWorker {
 public:
  using Work = std::function<Result()>;                           // touches no JavaScript value
  using Convert = std::function<Napi::Value(Napi::Env, Result)>;  // on the JavaScript thread

  // Returns a promise of convert(work()); whatever either throws rejects it.
  static Napi::Value run(Napi::Env env, const char* name, Work work, Convert convert) {
    PromiseWorker* worker = make(env, name, std::move(work), std::move(convert));
    Napi::Value promise = worker->promise();
    worker->Queue();
    return promise;
  }

  // The same for work that begins later, when Queue() is called. The worker then deletes itself when it has
  // settled the promise.
  static PromiseWorker* make(Napi::Env env, const char* name, Work work, Convert convert) {
    return new PromiseWorker(env, name, std::move(work), std::move(convert));
  }
  Napi::Value promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    try {
      result_.emplace(work_());
    } catch (...) {
      error_ = std::current_exception();
    }
    work_ = nullptr;  // what the work held, a whole model perhaps, is freed on this thread
  }

  void OnOK() override {
    Napi::HandleScope scope(Env());
    try {
      if (error_) std::rethrow_exception(error_);
      deferred_.Resolve(convert_(Env(), std::move(*result_)));
    } catch (...) {
      deferred_.Reject(to_js_error(Env(), std::current_exception()).Value());
    }
  }

 private:
  PromiseWorker(Napi::Env env, const char* name, Work work, Convert convert)
      : Napi::AsyncWorker(env, name), deferred_(env), work_(std::move(work)), convert_(std::move(convert)) {}

  Napi::Promise::Deferred deferred_;
  Work work_;
  Convert convert_;
  std::optional<Result> result_;
  std::exception_ptr error_;
};

struct Done {};  // what work without a result gives; JavaScript sees undefined
inline Napi::Value undefined(Napi::Env env, Done) { return env.Undefined(); }

// Returns a promise of undefined for when work() has ended; what it throws rejects it.
inline Napi::Value run_work(Napi::Env env, const char* name, std::function<void()> work) {
  return PromiseWorker<Done>::run(
      env, name,
      [work = std::move(work)] {
        work();
        return Done();
      },
      undefined);
}

}  // namespace albert::binding
