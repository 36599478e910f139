// The addon's export table; lib/native.ts types it.
#include "convert.h"
#include "environment.h"
#include "model_wrap.h"
#include "ops.h"
#include "pretraining_wrap.h"
#include "probe.h"
#include "support/file_lock.h"
#include "tokenizer_wrap.h"
#include "trainer_wrap.h"

namespace albert::binding {

namespace {

// () -> { isa, available, cores, threads }
Napi::Value cpu_info_to_js(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Napi::Env env = info.Env();
    const CpuInfo cpu = cpu_info();
    Napi::Object object = Napi::Object::New(env);
    object.Set("isa", Napi::String::New(env, cpu.isa));
    object.Set("available", strings_to_js(env, cpu.available));
    object.Set("cores", Napi::Number::New(env, cpu.cores));
    object.Set("threads", Napi::Number::New(env, cpu.threads));
    return object;
  });
}

// () -> [{ type, index, name, available, reason }]
Napi::Value devices(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Napi::Env env = info.Env();
    Napi::Array list = Napi::Array::New(env);
    const auto add = [&](const char* type, uint32_t index, const std::string& name, const char* reason) {
      Napi::Object device = Napi::Object::New(env);
      device.Set("type", Napi::String::New(env, type));
      device.Set("index", Napi::Number::New(env, index));
      device.Set("name", Napi::String::New(env, name));
      device.Set("available", Napi::Boolean::New(env, !reason));
      device.Set("reason", reason ? Napi::Value(Napi::String::New(env, reason)) : env.Null());
      list.Set(list.Length(), device);
    };
    add("cpu", 0, cpu_info().isa, nullptr);
    try {
      uint32_t index = 0;
      for (const CudaDevice& device : cuda_devices()) {
        const std::string name = str(device.name, ", compute capability ", device.major, ".", device.minor,
                                     ", ", device.memory_bytes >> 30, " GiB");
        add("cuda", index++, name, device.major >= 8 ? nullptr : "older than compute capability 8.0");
      }
      if (index == 0) throw Error(ErrorCode::kDevice, "there is no NVIDIA GPU");
    } catch (const Error& error) {
      add("cuda", 0, "NVIDIA GPU", error.what());
    }
    return list;
  });
}

// (configJson, configName, head | null) -> { head, parameters }
Napi::Value describe(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Napi::Env env = info.Env();
    const Config config = Config::parse(to_text(info[0], "configJson"), to_text(info[1], "configName"));
    const Head head = info[2].IsNull() ? config.head : head_from_string(to_text(info[2], "head"));
    Napi::Object object = Napi::Object::New(env);
    object.Set("head", Napi::String::New(env, to_string(head)));
    object.Set("parameters", parameters_to_js(env, Weights::describe(config, head)));
    return object;
  });
}

// (path) -> a function that lets go of the file or folder, as the garbage collector would; null when somebody
// else holds it
Napi::Value hold_file(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    std::shared_ptr<FileLock> lock = FileLock::hold(to_path(info[0], "path"), ErrorCode::kCheckpoint);
    if (!lock) return info.Env().Null();
    return Napi::Function::New(info.Env(), [lock](const Napi::CallbackInfo&) mutable { lock.reset(); });
  });
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  Environment::install(env);
  Environment& environment = Environment::of(env);
  environment.model_constructor = Napi::Persistent(ModelWrap::define(env));
  environment.tokenizer_constructor = Napi::Persistent(TokenizerWrap::define(env));
  environment.trainer_constructor = Napi::Persistent(TrainerWrap::define(env));
  environment.pretraining_constructor = Napi::Persistent(PretrainingWrap::define(env));

  exports.Set("version", Napi::String::New(env, ALBERT_VERSION));
  exports.Set("cpuInfo", Napi::Function::New(env, cpu_info_to_js, "cpuInfo"));
  exports.Set("devices", Napi::Function::New(env, devices, "devices"));
  exports.Set("describe", Napi::Function::New(env, describe, "describe"));
  exports.Set("holdFile", Napi::Function::New(env, hold_file, "holdFile"));
  exports.Set("loadModel", Napi::Function::New(env, ModelWrap::load, "loadModel"));
  exports.Set("createModel", Napi::Function::New(env, ModelWrap::create, "createModel"));
  exports.Set("measureCpuPeak", Napi::Function::New(env, measure_cpu_peak_to_js, "measureCpuPeak"));
  exports.Set("externalMemory", Napi::Function::New(env, external_memory, "externalMemory"));
  exports.Set("createTrainer", Napi::Function::New(env, TrainerWrap::create, "createTrainer"));
  exports.Set("trainingNote", Napi::Function::New(env, TrainerWrap::note, "trainingNote"));
  exports.Set("backward", Napi::Function::New(env, TrainerWrap::backward, "backward"));
  exports.Set("loadTokenizer", Napi::Function::New(env, TokenizerWrap::load, "loadTokenizer"));
  exports.Set("prepareText", Napi::Function::New(env, TokenizerWrap::prepare, "prepareText"));
  exports.Set("openPretraining", Napi::Function::New(env, PretrainingWrap::open, "openPretraining"));
  exports.Set("writeShard", Napi::Function::New(env, PretrainingWrap::write_shard, "writeShard"));
  return exports;
}

}  // namespace

}  // namespace albert::binding

static Napi::Object albert_init(Napi::Env env, Napi::Object exports) {
  return albert::binding::initialise(env, exports);
}
NODE_API_MODULE(albert, albert_init)
