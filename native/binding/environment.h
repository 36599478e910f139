// State of the addon in one JavaScript environment: its classes, its models and the runs in flight. Includes
// napi.h.
#pragma once

// A worker thread that is being terminated refuses new exceptions; they are dropped there instead of
// aborting.
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#include <napi.h>

#include <atomic>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "albert/engine.h"

namespace albert::binding {

// A model with its engine; the wrapper object and every run in flight share it. Only the JavaScript thread
// touches it.
struct Session {
  std::shared_ptr<Model> model;    // null once disposed
  std::unique_ptr<Engine> engine;  // null once disposed
  int64_t reported_bytes = 0;      // what the garbage collector has been told about
  int runs = 0;                    // in flight
  bool abandoned = false;          // the wrapper is gone: the last run retires the session
};

// One call of forward, from submission until its promise settles.
struct Run {
  explicit Run(Napi::Env env) : deferred(env) {}
  Napi::Promise::Deferred deferred;
  std::shared_ptr<Session> session;
  std::shared_ptr<std::atomic<uint8_t>> cancelled = std::make_shared<std::atomic<uint8_t>>(0);
  ForwardResult result;
  std::exception_ptr error;
};

// Lives as the environment's instance data, so that worker threads and second copies share nothing.
class Environment {
 public:
  static void install(Napi::Env env);
  static Environment& of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

  Napi::FunctionReference model_constructor;
  Napi::FunctionReference tokenizer_constructor;
  Napi::FunctionReference trainer_constructor;
  Napi::FunctionReference pretraining_constructor;

  std::shared_ptr<Session> open(Napi::Env env, std::shared_ptr<Model> model);
  // Takes model and engine out of the session, for their destruction wherever the caller wants it.
  struct Remains {
    std::unique_ptr<Engine> engine;
    std::shared_ptr<Model> model;
  };
  Remains retire(Napi::BasicEnv env, Session& session);
  // The wrapper was collected: retires the session now or when its last run has settled, never waiting for
  // one.
  void abandon(Napi::BasicEnv env, Session& session);

  // Queues the request on the session's engine; the run's promise settles on the JavaScript thread.
  // Throws what Engine::submit throws.
  Run& submit(Napi::Env env, std::shared_ptr<Session> session, ForwardRequest request);

 private:
  static void settle(Napi::Env env, Napi::Function callback, Environment* self, Run* run);
  using Channel = Napi::TypedThreadSafeFunction<Environment, Run, &Environment::settle>;

  void shut_down();
  void forget(Napi::Env env, Run* run);

  Channel channel_;  // holds the event loop open only while runs are in flight
  std::unordered_map<Run*, std::unique_ptr<Run>> runs_;
  std::unordered_set<Session*> sessions_;
};

}  // namespace albert::binding
