// The machine's own peak, measured off the event loop, and what the garbage collector knows.
#include "probe.h"

#include "ops.h"
#include "promise_worker.h"

namespace albert::binding {

Napi::Value measure_cpu_peak_to_js(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int threads = to_int(info[0], "threads");
    const std::string isa = info[1].IsUndefined() ? "" : to_text(info[1], "isa");
    const bool brief = !info[2].IsUndefined() && to_bool(info[2], "brief");
    return PromiseWorker<CpuPeak>::run(
        info.Env(), "albert-native peak",
        [threads, isa, brief] { return measure_cpu_peak(threads, isa, brief); },
        [](Napi::Env env, CpuPeak peak) -> Napi::Value {
          Napi::Object object = Napi::Object::New(env);
          object.Set("fp32", Napi::Number::New(env, peak.fp32));
          object.Set("bf16", Napi::Number::New(env, peak.bf16));
          object.Set("int8", Napi::Number::New(env, peak.int8));
          object.Set("readBandwidth", Napi::Number::New(env, peak.read_bandwidth));
          return object;
        });
  });
}

Napi::Value external_memory(const Napi::CallbackInfo& info) {
  const int64_t bytes = Napi::MemoryManagement::AdjustExternalMemory(info.Env(), 0);
  return Napi::Number::New(info.Env(), static_cast<double>(bytes));
}

}  // namespace albert::binding
