// Connects the Model object to the core: long work goes to libuv's pool, forward to the model's own engine.
#include "model_wrap.h"

#include "convert.h"
#include "promise_worker.h"

namespace albert::binding {

Napi::Function ModelWrap::define(Napi::Env env) {
  return DefineClass(
      env, "Model",
      {InstanceMethod("parameters", &ModelWrap::parameters),
       InstanceMethod("parameter", &ModelWrap::parameter), InstanceMethod("forward", &ModelWrap::forward),
       InstanceMethod("calibrate", &ModelWrap::calibrate), InstanceMethod("save", &ModelWrap::save),
       InstanceMethod("dispose", &ModelWrap::dispose)});
}

ModelWrap::ModelWrap(const Napi::CallbackInfo& info) : Wrapped(info) {
  Napi::Env env = info.Env();
  // Nothing but a Napi::Error may leave through the engine, which calls this.
  guarded(env, [&]() -> Napi::Value {
    const Loaded& loaded = contents_of<Loaded>(info);
    const Model& model = *loaded.model;
    const std::shared_ptr<const Weights> weights = model.weights();
    for (const Parameter& parameter : weights->all())
      parameters_.push_back({parameter.name, parameter.shape, nullptr});

    Napi::Object self = info.This().As<Napi::Object>();
    self.Set("head", Napi::String::New(env, to_string(model.head())));
    self.Set("device", Napi::String::New(env, model.backend().device()));
    self.Set("dtype", Napi::String::New(env, loaded.dtype));
    self.Set("isa", Napi::String::New(env, model.backend().isa()));
    self.Set("threads", Napi::Number::New(env, model.backend().threads()));
    self.Set("batchTokens", Napi::Number::New(env, static_cast<double>(model.backend().batch_rows())));
    self.Set("warnings", strings_to_js(env, model.warnings()));
    self.Set("freshParameters", strings_to_js(env, weights->fresh()));
    self.Set("hiddenGroups", Napi::Number::New(env, model.config().num_hidden_groups));
    self.Set("tiedDecoder", Napi::Boolean::New(env, weights->has_tied_decoder()));
    session_ = Environment::of(env).open(env, loaded.model);
    return self;
  });
}

void ModelWrap::Finalize(Napi::Env env) {
  if (session_) Environment::of(env).close(env, *session_, [](Remains) {});
}

std::shared_ptr<Model> ModelWrap::live_model() const {
  session_->require_open();
  return session_->model;
}

Napi::Value ModelWrap::load(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    std::string config = to_text(info[0], "configJson"), name = to_text(info[1], "configName");
    std::string weights = to_path(info[2], "weightsPath");
    ModelOptions options = to_model_options(info[3]);
    FreshParameters fresh;
    fresh.seed = to_count(info[4], "seed");
    fresh.mismatched = to_bool(info[5], "redrawMismatched");
    return PromiseWorker<Loaded>::run(
        info.Env(), "albert-native load",
        [=] {
          return Loaded{Model::load(config, name, weights, options, fresh), options.dtype};
        },
        make<Loaded>);
  });
}

Napi::Value ModelWrap::create(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    std::string config = to_text(info[0], "configJson");
    const uint64_t seed = to_count(info[1], "seed");
    ModelOptions options = to_model_options(info[2]);
    return PromiseWorker<Loaded>::run(
        info.Env(), "albert-native create",
        [=] {
          return Loaded{Model::create(config, seed, options), options.dtype};
        },
        make<Loaded>);
  });
}

Napi::Value ModelWrap::parameters(const Napi::CallbackInfo& info) {
  return parameters_to_js(info.Env(), parameters_);
}

// A copy of one parameter's values: the weights themselves may be a file that is mapped for reading only.
Napi::Value ModelWrap::parameter(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const std::string name = to_text(info[0], "name");
    const std::shared_ptr<Model> model = live_model();
    return PromiseWorker<OutputTensor>::run(
        info.Env(), "albert-native parameter",
        [model, name] {
          const std::shared_ptr<const Weights> weights = model->weights();
          return copy_of(weights->lookup(name));
        },
        tensor_to_js);
  });
}

// Returns { result: Promise, cancel() }: calling cancel abandons the run between layers.
Napi::Value ModelWrap::forward(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    Run& run = Environment::of(env).submit(env, session_, to_request(info[0], info[1]));
    Napi::Object handle = Napi::Object::New(env);
    handle.Set("result", run.deferred.Promise());
    handle.Set("cancel", Napi::Function::New(
                             env, [flag = run.cancelled](const Napi::CallbackInfo&) { flag->store(1); }));
    return handle;
  });
}

Napi::Value ModelWrap::calibrate(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    auto batch = std::make_shared<SequenceBatch>(to_sequence_batch(to_object(info[0], "batch")));
    const std::string path = to_path(info[1], "path");
    return run_work(info.Env(), "albert-native calibrate",
                    [batch, path, model = live_model()] { model->calibrate(*batch, path); });
  });
}

Napi::Value ModelWrap::save(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    std::string path = to_path(info[0], "path");
    const DType dtype = to_text(info[1], "dtype") == "fp16" ? DType::kF16 : DType::kF32;
    return run_work(info.Env(), "albert-native save",
                    [path, dtype, model = live_model()] { model->weights()->save(path, dtype); });
  });
}

Napi::Value ModelWrap::dispose(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto remains = std::make_shared<Remains>();
    auto* worker = PromiseWorker<Done>::make(
        info.Env(), "albert-native dispose",
        [remains] {
          *remains = {};
          return Done();
        },
        undefined);
    const Napi::Value promise = worker->promise();
    // Not before the last run has settled: until then a thread of libuv's pool, which others need, would
    // wait.
    Environment::of(info.Env()).close(info.Env(), *session_, [remains, worker](Remains last) {
      *remains = std::move(last);
      worker->Queue();
    });
    return promise;
  });
}

Napi::Value parameters_to_js(Napi::Env env, const std::vector<Parameter>& parameters) {
  Napi::Array array = Napi::Array::New(env, parameters.size());
  for (size_t i = 0; i < parameters.size(); i++) {
    Napi::Array shape = Napi::Array::New(env, parameters[i].shape.size());
    for (size_t j = 0; j < parameters[i].shape.size(); j++)
      shape.Set(static_cast<uint32_t>(j),
                Napi::Number::New(env, static_cast<double>(parameters[i].shape[j])));
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", Napi::String::New(env, parameters[i].name));
    entry.Set("shape", shape);
    array.Set(static_cast<uint32_t>(i), entry);
  }
  return array;
}

}  // namespace albert::binding
