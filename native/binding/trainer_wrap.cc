// Connects the Trainer object to the core: every call runs in libuv's pool, one at a time.
#include "trainer_wrap.h"

#include "convert.h"
#include "model_wrap.h"
#include "promise_worker.h"

namespace albert::binding {
namespace {

std::shared_ptr<Model> model_of(const Napi::Value& value) {
  return ModelWrap::Unwrap(to_object(value, "model"))->live_model();
}

// { total, parts: [{ name, mean, count, hits }] }
Napi::Object losses_to_js(Napi::Env env, const Losses& losses) {
  const auto number = [&](auto value) { return Napi::Number::New(env, static_cast<double>(value)); };
  Napi::Array parts = Napi::Array::New(env, losses.parts.size());
  for (size_t i = 0; i < losses.parts.size(); ++i) {
    const LossPart& part = losses.parts[i];
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", Napi::String::New(env, part.name));
    entry.Set("mean", number(part.mean));
    entry.Set("count", number(part.count));
    entry.Set("hits", number(part.hits));
    parts.Set(static_cast<uint32_t>(i), entry);
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("total", number(losses.total));
  object.Set("parts", parts);
  return object;
}

}  // namespace

Trainer& TrainerWrap::Shared::live() const {
  check(trainer != nullptr, ErrorCode::kDisposed,
        "expected a live trainer but this one has been disposed of; resume it from a checkpoint");
  return *trainer;
}

void TrainerWrap::Shared::count() { bytes = trainer ? static_cast<int64_t>(trainer->memory_bytes()) : 0; }

void TrainerWrap::Shared::report(Napi::BasicEnv env) {
  const int64_t now = abandoned ? 0 : bytes.load();
  if (now != reported_bytes) Napi::MemoryManagement::AdjustExternalMemory(env, now - reported_bytes);
  reported_bytes = now;
}

void TrainerWrap::Finalize(Napi::BasicEnv env) {
  if (!shared_) return;
  shared_->abandoned = true;
  shared_->report(env);
}

Napi::Function TrainerWrap::define(Napi::Env env) {
  return DefineClass(
      env, "Trainer",
      {InstanceMethod("step", &TrainerWrap::step), InstanceMethod("evaluate", &TrainerWrap::evaluate),
       InstanceMethod("save", &TrainerWrap::save), InstanceMethod("restore", &TrainerWrap::restore),
       InstanceMethod("publish", &TrainerWrap::publish), InstanceMethod("dispose", &TrainerWrap::dispose)});
}

TrainerWrap::TrainerWrap(const Napi::CallbackInfo& info) : Wrapped(info) {
  shared_ = contents_of<std::shared_ptr<Shared>>(info);
}

Napi::Value TrainerWrap::create(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const std::shared_ptr<Model> model = model_of(info[0]);
    const TrainingOptions training = to_training_options(info[1]);
    const OptimizerOptions optimizer = to_optimizer_options(info[2]);
    const uint64_t seed = to_count(info[3], "seed");
    return PromiseWorker<std::shared_ptr<Shared>>::run(
        info.Env(), "albert-native trainer",
        [=] {
          auto shared = std::make_shared<Shared>();
          shared->trainer = std::make_unique<Trainer>(model->config(), model->head(), *model->weights(),
                                                      training, optimizer, seed);
          shared->count();
          return shared;
        },
        [](Napi::Env env, std::shared_ptr<Shared> shared) -> Napi::Value {
          shared->report(env);
          return make(env, shared);
        });
  });
}

Napi::Value TrainerWrap::step(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const Napi::Array array = to_array(info[0], "batches");
    auto batches = std::make_shared<std::vector<LabelledBatch>>();
    for (uint32_t i = 0; i < array.Length(); ++i) batches->push_back(to_labelled_batch(array.Get(i)));
    return PromiseWorker<StepResult>::run(
        info.Env(), "albert-native step",
        [shared = shared_, batches] {
          std::lock_guard<std::mutex> lock(shared->mutex);
          StepResult result = shared->live().step(*batches);
          shared->count();
          return result;
        },
        [shared = shared_](Napi::Env env, StepResult result) -> Napi::Value {
          shared->report(env);
          const auto number = [&](auto value) { return Napi::Number::New(env, static_cast<double>(value)); };
          Napi::Object object = Napi::Object::New(env);
          object.Set("step", number(result.step));
          object.Set("losses", losses_to_js(env, result.losses));
          object.Set("gradNorm", number(result.grad_norm));
          object.Set("learningRate", number(result.learning_rate));
          object.Set("tokens", number(result.tokens));
          return object;
        });
  });
}

Napi::Value TrainerWrap::evaluate(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto batch = std::make_shared<LabelledBatch>(to_labelled_batch(info[0]));
    return PromiseWorker<Losses>::run(
        info.Env(), "albert-native evaluate",
        [shared = shared_, batch] {
          std::lock_guard<std::mutex> lock(shared->mutex);
          Losses losses = shared->live().evaluate(*batch);
          shared->count();
          return losses;
        },
        [shared = shared_](Napi::Env env, Losses losses) -> Napi::Value {
          shared->report(env);
          return losses_to_js(env, losses);
        });
  });
}

Napi::Value TrainerWrap::save(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const std::string path = to_path(info[0], "path"), note = to_text(info[1], "note");
    return run_work(info.Env(), "albert-native checkpoint", [shared = shared_, path, note] {
      std::lock_guard<std::mutex> lock(shared->mutex);
      shared->live().save(path, note);
    });
  });
}

Napi::Value TrainerWrap::restore(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const std::string path = to_path(info[0], "path");
    return run_work(info.Env(), "albert-native restore", [shared = shared_, path] {
      std::lock_guard<std::mutex> lock(shared->mutex);
      shared->live().restore(path);
    });
  });
}

Napi::Value TrainerWrap::publish(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const std::shared_ptr<Model> model = model_of(info[0]);
    return run_work(info.Env(), "albert-native publish", [shared = shared_, model] {
      std::lock_guard<std::mutex> lock(shared->mutex);
      TrainingModel& trained = shared->live().model();
      model->replace_weights(
          Weights::copy(model->config(), model->head(), trained.weights().values().parameters));
    });
  });
}

Napi::Value TrainerWrap::dispose(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return PromiseWorker<Done>::run(
        info.Env(), "albert-native dispose",
        [shared = shared_] {
          std::lock_guard<std::mutex> lock(shared->mutex);
          shared->trainer.reset();
          shared->count();
          return Done();
        },
        [shared = shared_](Napi::Env env, Done) {
          shared->report(env);
          return env.Undefined();
        });
  });
}

Napi::Value TrainerWrap::note(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const std::string path = to_path(info[0], "path");
    return PromiseWorker<std::string>::run(
        info.Env(), "albert-native note", [path] { return Trainer::note_of(path); },
        [](Napi::Env env, std::string text) -> Napi::Value { return Napi::String::New(env, text); });
  });
}

Napi::Value TrainerWrap::backward(const Napi::CallbackInfo& info) {
  struct Result {
    Losses losses;
    ForwardResult gradients;
  };
  return guarded(info.Env(), [&] {
    const std::shared_ptr<Model> model = model_of(info[0]);
    auto batch = std::make_shared<LabelledBatch>(to_labelled_batch(info[1]));
    const TrainingOptions options = to_training_options(info[2]);
    return PromiseWorker<std::shared_ptr<Result>>::run(
        info.Env(), "albert-native backward",
        [=] {
          TrainingModel training(model->config(), model->head(), *model->weights(), options);
          auto result = std::make_shared<Result>();
          result->losses = training.forward_backward(*batch, DropoutPlaces::none());
          const ParameterValues gradients = training.gradients().values();
          for (const Parameter& parameter : gradients.parameters)
            result->gradients.push_back(copy_of(parameter));
          return result;
        },
        [](Napi::Env env, std::shared_ptr<Result> result) -> Napi::Value {
          Napi::Object object = Napi::Object::New(env);
          object.Set("losses", losses_to_js(env, result->losses));
          object.Set("gradients", tensors_to_js(env, std::move(result->gradients)));
          return object;
        });
  });
}

}  // namespace albert::binding
