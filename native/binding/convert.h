// Between JavaScript values and the core's types: errors, text, batches, tensors and encodings.
#pragma once

#include <exception>
#include <string>
#include <vector>

#include "albert/model.h"
#include "albert/tokenizer.h"
#include "environment.h"
#include "train/trainer.h"

namespace albert::binding {

// Any exception as a JavaScript Error with `code`, one of the codes of error.h.
Napi::Error to_js_error(Napi::Env env, const std::exception_ptr& error);

// Runs the body of a synchronous export; whatever it throws becomes a JavaScript exception.
template <typename Body>
Napi::Value guarded(Napi::Env env, Body body) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw to_js_error(env, std::current_exception());
  }
}

// Readers of arguments and properties. They throw Error{kInvalidArgument} that names `name`; lib/ has checked
// values already, so these guard against what would corrupt memory.
std::string to_text(const Napi::Value& value, const char* name);
// Text without NUL, at which the system would take it to end.
std::string to_path(const Napi::Value& value, const char* name);
std::u16string to_utf16(const Napi::Value& value, const char* name);
double to_double(const Napi::Value& value, const char* name);
bool to_bool(const Napi::Value& value, const char* name);
int32_t to_int(const Napi::Value& value, const char* name);
uint64_t to_count(const Napi::Value& value, const char* name);             // a number from 0 to 2^53 - 1
std::vector<int32_t> to_ints(const Napi::Value& value, const char* name);  // an Int32Array; null: empty
Napi::Object to_object(const Napi::Value& value, const char* name);
Napi::Array to_array(const Napi::Value& value, const char* name);

ModelOptions to_model_options(const Napi::Value& value);
SequenceBatch to_sequence_batch(const Napi::Object& batch);
LabelledBatch to_labelled_batch(const Napi::Value& value);
TrainingOptions to_training_options(const Napi::Value& value);
OptimizerOptions to_optimizer_options(const Napi::Value& value);
ForwardRequest to_request(const Napi::Value& batch, const Napi::Value& wanted);
EncodeOptions to_encode_options(const Napi::Value& value);

OutputTensor copy_of(const Parameter& parameter);  // its name, shape and values

Napi::Value int_array(Napi::Env env, const std::vector<int32_t>& values);  // an Int32Array
Napi::Value strings_to_js(Napi::Env env, const std::vector<std::string>& strings);
// { dims, data }; the array takes the memory over where the runtime allows it.
Napi::Value tensor_to_js(Napi::Env env, OutputTensor tensor);
Napi::Value tensors_to_js(Napi::Env env, ForwardResult tensors);  // { [name]: { dims, data } }
// { ids, types, offsets, tokens, overflowing }; tokens is empty unless asked for, as making strings costs
// most.
Napi::Value encoding_to_js(Napi::Env env, const Encoding& encoding, bool with_tokens);

}  // namespace albert::binding
