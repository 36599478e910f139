// Exports for benchmarks and tests that are no part of the public API. Includes napi.h.
#pragma once

#include "environment.h"

namespace albert::binding {

// (threads, isa?, brief?) -> Promise<{ fp32, bf16, int8, readBandwidth }>
Napi::Value measure_cpu_peak_to_js(const Napi::CallbackInfo& info);

// () -> number: the bytes outside of its heap that the garbage collector has been told of, by everybody
Napi::Value external_memory(const Napi::CallbackInfo& info);

}  // namespace albert::binding
