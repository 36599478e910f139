// The Model object that JavaScript holds: loads, runs, saves and disposes one albert::Model.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "wrapped.h"

namespace albert::binding {

class ModelWrap : public Wrapped<ModelWrap> {
 public:
  static constexpr WrappedClass kClass{"Model",
                                       "loadModel or createModel",
                                       {0x5d1c2f0a9b7e4c36, 0x8f64a1d02e93b7c5},
                                       &Environment::model_constructor};
  static Napi::Function define(Napi::Env env);

  // (configJson, configName, weightsPath, options, seed, redrawMismatched) -> Promise<Model>
  static Napi::Value load(const Napi::CallbackInfo& info);
  // (configJson, seed, options) -> Promise<Model>
  static Napi::Value create(const Napi::CallbackInfo& info);

  std::shared_ptr<Model> live_model() const;  // throws Error{kDisposed}

  explicit ModelWrap(const Napi::CallbackInfo& info);
  void Finalize(Napi::Env env) override;

 private:
  // What loadModel and createModel hand to the constructor.
  struct Loaded {
    std::shared_ptr<Model> model;
    std::string dtype;
  };

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
