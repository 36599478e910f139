// State of the addon in one JavaScript environment: its classes, its models and the runs in flight. Includes
// napi.h.
#pragma once

// A worker thread that is being terminated refuses new exceptions; they are dropped there instead of
// aborting.
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#include <napi.h>

#include <atomic>
#include <functional>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "albert/engine.h"

namespace albert::binding {

// What is left of a session, for its destruction wherever the caller wants it.
struct Remains {
  std::unique_ptr<Engine> engine;
  std::shared_ptr<Model> model;
};

// A model with its engine; the wrapper object and every run in flight share it. Only the JavaScript thread
// touches it.
struct Session {
  void require_open() const;  // throws Error{kDisposed} once it is closing

  std::shared_ptr<Model> model;        // null once closed
  std::unique_ptr<Engine> engine;      // null once closed
  int64_t reported_bytes = 0;          // of the model, what the garbage collector has been told about
  int runs = 0;                        // in flight
  bool closing = false;                // no new runs; the last one ends the session
  std::function<void(Remains)> ended;  // called then
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
  // Refuses new runs, and hands model and engine to `ended` now or when the last run has settled; nothing
  // waits for it. A session that is closing already has nothing to hand over.
  void close(Napi::BasicEnv env, Session& session, std::function<void(Remains)> ended);

  // Queues the request on the session's engine; the run's promise settles on the JavaScript thread.
  // Throws what Engine::submit throws.
  Run& submit(Napi::Env env, std::shared_ptr<Session> session, ForwardRequest request);

 private:
  static void settle(Napi::Env env, Napi::Function callback, Environment* self, Run* run);
  using Channel = Napi::TypedThreadSafeFunction<Environment, Run, &Environment::settle>;

  // Tells the garbage collector how the model's memory has changed: it grows with the batches.
  static void report(Napi::BasicEnv env, Session& session);
  void end(Napi::BasicEnv env, Session& session);
  void shut_down();
  void forget(Napi::Env env, Run* run);

  Channel channel_;  // holds the event loop open only while runs are in flight
  std::unordered_map<Run*, std::unique_ptr<Run>> runs_;
  std::unordered_set<Session*> sessions_;
};

}  // namespace albert::binding
