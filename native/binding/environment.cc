// Opens and retires models, carries finished runs back to the JavaScript thread, and closes everything at
// teardown.
#include "environment.h"

#include "convert.h"

namespace albert::binding {

void Session::require_open() const {
  check(!closing, ErrorCode::kDisposed,
        "expected a live model but this one has been disposed; load it again");
}

void Environment::install(Napi::Env env) {
  auto* self = new Environment();
  env.SetInstanceData<Environment>(self);
  self->channel_ = Channel::New(env, "albert-native forward", 0, 1, self);
  self->channel_.Unref(env);
  // Hooks run in reverse order, so this one joins the engines before the channel they call into is closed.
  env.AddCleanupHook([self] { self->shut_down(); });
}

std::shared_ptr<Session> Environment::open(Napi::Env env, std::shared_ptr<Model> model) {
  auto session = std::make_shared<Session>();
  session->engine = std::make_unique<Engine>(model);
  session->model = std::move(model);
  sessions_.insert(session.get());
  report(env, *session);
  return session;
}

void Environment::report(Napi::BasicEnv env, Session& session) {
  const int64_t now = session.model ? static_cast<int64_t>(session.model->memory_bytes()) : 0;
  if (now != session.reported_bytes)
    Napi::MemoryManagement::AdjustExternalMemory(env, now - session.reported_bytes);
  session.reported_bytes = now;
}

void Environment::close(Napi::BasicEnv env, Session& session, std::function<void(Remains)> ended) {
  if (session.closing) return ended({});
  session.closing = true;
  session.ended = std::move(ended);
  if (session.runs == 0) end(env, session);
}

void Environment::end(Napi::BasicEnv env, Session& session) {
  sessions_.erase(&session);
  Remains remains{std::move(session.engine), std::move(session.model)};
  report(env, session);
  const std::function<void(Remains)> ended = std::move(session.ended);
  ended(std::move(remains));
}

Run& Environment::submit(Napi::Env env, std::shared_ptr<Session> session, ForwardRequest request) {
  session->require_open();
  auto owned = std::make_unique<Run>(env);
  Run* run = owned.get();
  run->session = std::move(session);
  request.cancelled = run->cancelled.get();
  runs_.emplace(run, std::move(owned));
  // Counted once forget() will count it down again.
  run->session->runs++;
  if (runs_.size() == 1) channel_.Ref(env);
  try {
    run->session->engine->submit(std::move(request),
                                 [run, channel = channel_](ForwardResult result, std::exception_ptr error) {
                                   run->result = std::move(result);
                                   run->error = std::move(error);
                                   channel.NonBlockingCall(run);
                                 });
  } catch (...) {
    forget(env, run);
    throw;
  }
  return *run;
}

void Environment::forget(Napi::Env env, Run* run) {
  std::shared_ptr<Session> session = run->session;
  runs_.erase(run);
  if (--session->runs == 0 && session->closing) end(env, *session);
  if (runs_.empty()) channel_.Unref(env);
}

void Environment::settle(Napi::Env env, Napi::Function, Environment* self, Run* run) {
  // Without an environment the instance data, which owns the run, is about to go.
  if (static_cast<napi_env>(env) == nullptr) return;
  try {
    Napi::HandleScope scope(env);
    try {
      if (run->error) std::rethrow_exception(run->error);
      run->deferred.Resolve(tensors_to_js(env, std::move(run->result)));
    } catch (...) {
      run->deferred.Reject(to_js_error(env, std::current_exception()).Value());
    }
    report(env, *run->session);
    self->forget(env, run);
  } catch (...) {
    // The environment is being torn down; nobody is left to hear of it.
  }
}

void Environment::shut_down() {
  for (auto& entry : runs_) entry.second->cancelled->store(1);
  for (Session* session : sessions_)
    if (session->engine) session->engine->close();
}

}  // namespace albert::binding
