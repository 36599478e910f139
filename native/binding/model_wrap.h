// The Model object that JavaScript holds: loads, runs, saves and disposes one albert::Model.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "environment.h"

namespace albert::binding {

class ModelWrap : public Napi::ObjectWrap<ModelWrap> {
 public:
  static Napi::Function define(Napi::Env env);

  // (configJson, configName, weightsPath, options, seed, redrawMismatched) -> Promise<Model>
  static Napi::Value load(const Napi::CallbackInfo& info);
  // (configJson, seed, options) -> Promise<Model>
  static Napi::Value create(const Napi::CallbackInfo& info);

  // Called by ObjectWrap before every method: refuses a receiver that is no Model.
  static ModelWrap* Unwrap(Napi::Object object);

  std::shared_ptr<Model> live_model() const;  // throws Error{kDisposed}

  explicit ModelWrap(const Napi::CallbackInfo& info);
  void Finalize(Napi::Env env) override;

 private:
  // What loadModel and createModel hand to the constructor.
  struct Loaded {
    std::shared_ptr<Model> model;
    std::string dtype;
  };
  static Napi::Value wrap(Napi::Env env, Loaded loaded);

  Napi::Value parameters(const Napi::CallbackInfo& info);
  // (name) -> Promise<{ dims, data }>
  Napi::Value parameter(const Napi::CallbackInfo& info);
  Napi::Value forward(const Napi::CallbackInfo& info);
  Napi::Value calibrate(const Napi::CallbackInfo& info);
  Napi::Value save(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);

  std::shared_ptr<Session> session_;
  std::vector<Parameter> parameters_;  // names and shapes; they outlive dispose
};

// [{ name, shape }]
Napi::Value parameters_to_js(Napi::Env env, const std::vector<Parameter>& parameters);

}  // namespace albert::binding
