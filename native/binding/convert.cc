// Reads and makes the JavaScript values of the boundary; everything is copied in, large tensors are handed
// out.
#include "convert.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace albert::binding {

namespace {

// Handing memory over costs a finalizer; below this many bytes a copy is cheaper.
constexpr size_t kCopyBelow = 16 * 1024;

Napi::Error coded_error(Napi::Env env, const char* code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

[[noreturn]] void wrong_type(const char* expected, const char* name) {
  throw Error(ErrorCode::kInvalidArgument, str("expected ", expected, " for ", name));
}

// The values of a typed array; none for null.
template <typename T>
std::vector<T> to_values(const Napi::Value& value, napi_typedarray_type type, const char* expected,
                         const char* name) {
  if (value.IsNull()) return {};
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type)
    wrong_type(expected, name);
  const auto array = value.As<Napi::TypedArrayOf<T>>();
  return std::vector<T>(array.Data(), array.Data() + array.ElementLength());
}

std::string to_text_or_none(const Napi::Value& value, const char* name) {
  return value.IsNull() ? "" : to_text(value, name);
}

Napi::Value float_array(Napi::Env env, OutputTensor tensor) {
  const size_t count = static_cast<size_t>(tensor.count());
  const size_t bytes = count * sizeof(float);
  if (bytes >= kCopyBelow) {
    napi_value buffer = nullptr;
    const auto free_floats = [](napi_env, void* data, void*) { delete[] static_cast<float*>(data); };
    const napi_status status =
        napi_create_external_arraybuffer(env, tensor.data.get(), bytes, free_floats, nullptr, &buffer);
    if (status == napi_ok) {
      tensor.data.release();
      return Napi::Float32Array::New(env, count, Napi::ArrayBuffer(env, buffer), 0);
    }
    // Some embedders (Electron) forbid external buffers.
  }
  Napi::Float32Array copy = Napi::Float32Array::New(env, count);
  if (bytes > 0) std::memcpy(copy.Data(), tensor.data.get(), bytes);
  return copy;
}

}  // namespace

Napi::Error to_js_error(Napi::Env env, const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Napi::Error& failure) {
    return failure;
  } catch (const Error& failure) {
    return coded_error(env, to_string(failure.code()), failure.what());
  } catch (const std::bad_alloc&) {
    return coded_error(env, "OUT_OF_MEMORY",
                       "expected enough memory for this operation; use a smaller batch or model");
  } catch (const std::length_error& failure) {
    return coded_error(env, "OUT_OF_MEMORY", str("expected a size that fits into memory: ", failure.what()));
  } catch (const std::exception& failure) {
    return coded_error(env, "DEVICE", str("the native runtime failed: ", failure.what()));
  } catch (...) {
    return coded_error(env, "DEVICE", "the native runtime failed for an unknown reason");
  }
}

std::string to_text(const Napi::Value& value, const char* name) {
  if (!value.IsString()) wrong_type("a string", name);
  return value.As<Napi::String>().Utf8Value();
}

std::string to_path(const Napi::Value& value, const char* name) {
  std::string path = to_text(value, name);
  check(path.find('\0') == std::string::npos, ErrorCode::kInvalidArgument, "expected a path without NUL for ",
        name);
  return path;
}

std::u16string to_utf16(const Napi::Value& value, const char* name) {
  if (!value.IsString()) wrong_type("a string", name);
  return value.As<Napi::String>().Utf16Value();
}

double to_double(const Napi::Value& value, const char* name) {
  if (!value.IsNumber()) wrong_type("a number", name);
  return value.As<Napi::Number>().DoubleValue();
}

bool to_bool(const Napi::Value& value, const char* name) {
  if (!value.IsBoolean()) wrong_type("true or false", name);
  return value.As<Napi::Boolean>().Value();
}

int32_t to_int(const Napi::Value& value, const char* name) {
  if (!value.IsNumber()) wrong_type("a number", name);
  return value.As<Napi::Number>().Int32Value();
}

uint64_t to_count(const Napi::Value& value, const char* name) {
  const double number = to_double(value, name);
  check(number >= 0 && number <= 9007199254740991.0, ErrorCode::kInvalidArgument, "expected a count for ",
        name);
  return static_cast<uint64_t>(number);
}

std::vector<int32_t> to_ints(const Napi::Value& value, const char* name) {
  return to_values<int32_t>(value, napi_int32_array, "an Int32Array", name);
}

Napi::Object to_object(const Napi::Value& value, const char* name) {
  if (!value.IsObject()) wrong_type("an object", name);
  return value.As<Napi::Object>();
}

Napi::Array to_array(const Napi::Value& value, const char* name) {
  if (!value.IsArray()) wrong_type("an array", name);
  return value.As<Napi::Array>();
}

ModelOptions to_model_options(const Napi::Value& value) {
  const Napi::Object object = to_object(value, "options");
  ModelOptions options;
  const Napi::Value head = object.Get("head");
  if (!head.IsNull()) options.head = head_from_string(to_text(head, "head"));
  options.dtype = to_text(object.Get("dtype"), "dtype");
  options.device = to_text(object.Get("device"), "device");
  options.isa = to_text_or_none(object.Get("isa"), "isa");
  options.threads = to_int(object.Get("threads"), "threads");
  const Napi::Value calibration = object.Get("calibration");
  if (!calibration.IsNull()) options.calibration = to_path(calibration, "calibration");
  return options;
}

SequenceBatch to_sequence_batch(const Napi::Object& object) {
  SequenceBatch batch;
  batch.ids = to_ints(object.Get("ids"), "ids");
  batch.types = to_ints(object.Get("types"), "types");
  batch.mask = to_values<uint8_t>(object.Get("mask"), napi_uint8_array, "a Uint8Array", "mask");
  batch.lengths = to_ints(object.Get("lengths"), "lengths");
  batch.choices = to_int(object.Get("choices"), "choices");
  return batch;
}

LabelledBatch to_labelled_batch(const Napi::Value& value) {
  const Napi::Object object = to_object(value, "batch");
  LabelledBatch batch;
  batch.sequences = to_sequence_batch(object);
  const auto ints = [&](const char* name) { return to_ints(object.Get(name), name); };
  batch.labels = ints("labels");
  batch.sop_labels = ints("sopLabels");
  batch.start_positions = ints("startPositions");
  batch.end_positions = ints("endPositions");
  batch.is_impossible = ints("isImpossible");
  batch.targets = to_values<float>(object.Get("targets"), napi_float32_array, "a Float32Array", "targets");
  return batch;
}

TrainingOptions to_training_options(const Napi::Value& value) {
  const Napi::Object object = to_object(value, "training options");
  TrainingOptions options;
  options.dtype = to_text(object.Get("dtype"), "dtype");
  options.device = to_text(object.Get("device"), "device");
  options.recompute = to_bool(object.Get("recompute"), "recompute");
  options.classifier_dropout =
      static_cast<float>(to_double(object.Get("classifierDropout"), "classifierDropout"));
  const Napi::Array weights = to_array(object.Get("classWeights"), "classWeights");
  for (uint32_t i = 0; i < weights.Length(); ++i)
    options.class_weights.push_back(static_cast<float>(to_double(weights.Get(i), "classWeights")));
  options.isa = to_text_or_none(object.Get("isa"), "isa");
  options.threads = to_int(object.Get("threads"), "threads");
  return options;
}

OptimizerOptions to_optimizer_options(const Napi::Value& value) {
  const Napi::Object object = to_object(value, "optimizer options");
  const auto number = [&](const char* name) { return to_double(object.Get(name), name); };
  const auto steps = [](const Napi::Object& from, const char* name) {
    return static_cast<int64_t>(to_count(from.Get(name), name));
  };
  OptimizerOptions options;
  options.kind = to_text(object.Get("optimizer"), "optimizer") == "lamb" ? OptimizerOptions::Kind::kLamb
                                                                         : OptimizerOptions::Kind::kAdamw;
  options.learning_rate = number("learningRate");
  options.warmup_steps = steps(object, "warmupSteps");
  options.total_steps = steps(object, "totalSteps");
  options.power = number("power");
  options.beta1 = number("beta1");
  options.beta2 = number("beta2");
  options.epsilon = number("epsilon");
  options.weight_decay = number("weightDecay");
  options.max_grad_norm = number("maxGradNorm");
  const Napi::Array rates = to_array(object.Get("rates"), "rates");
  for (uint32_t i = 0; i < rates.Length(); ++i) {
    const Napi::Object rule = to_object(rates.Get(i), "rates");
    options.rates.push_back({to_text(rule.Get("prefix"), "prefix"), to_double(rule.Get("factor"), "factor"),
                             steps(rule, "from")});
  }
  return options;
}

ForwardRequest to_request(const Napi::Value& batch_value, const Napi::Value& wanted_value) {
  ForwardRequest request;
  request.batch = to_sequence_batch(to_object(batch_value, "batch"));
  const Napi::Object wanted = to_object(wanted_value, "wanted");
  const auto flag = [&](const char* name) { return to_bool(wanted.Get(name), name); };
  request.wanted.last_hidden_state = flag("last_hidden_state");
  request.wanted.first_hidden_state = flag("first_hidden_state");
  request.wanted.mean_hidden_state = flag("mean_hidden_state");
  request.wanted.pooler_output = flag("pooler_output");
  request.wanted.logits = flag("logits");
  request.wanted.sop_logits = flag("sop_logits");
  request.wanted.hidden_states = flag("hidden_states");
  request.wanted.attentions = flag("attentions");
  request.logits_rows = to_ints(wanted.Get("logitsRows"), "logitsRows");
  return request;
}

EncodeOptions to_encode_options(const Napi::Value& value) {
  const Napi::Object object = to_object(value, "options");
  EncodeOptions options;
  options.add_special_tokens = to_bool(object.Get("addSpecialTokens"), "addSpecialTokens");
  options.split_special_tokens = to_bool(object.Get("splitSpecialTokens"), "splitSpecialTokens");
  options.max_length = to_int(object.Get("maxLength"), "maxLength");
  options.stride = to_int(object.Get("stride"), "stride");
  options.return_overflowing = to_bool(object.Get("returnOverflowing"), "returnOverflowing");
  const std::string truncation = to_text(object.Get("truncation"), "truncation");
  if (truncation == "longest_first") {
    options.truncation = Truncation::kLongestFirst;
  } else if (truncation == "only_first") {
    options.truncation = Truncation::kOnlyFirst;
  } else if (truncation == "only_second") {
    options.truncation = Truncation::kOnlySecond;
  } else {
    options.truncation = Truncation::kNone;
  }
  return options;
}

OutputTensor copy_of(const Parameter& parameter) {
  OutputTensor copy(parameter.name, parameter.shape);
  std::copy_n(parameter.data, copy.count(), copy.data.get());
  return copy;
}

Napi::Value int_array(Napi::Env env, const std::vector<int32_t>& values) {
  Napi::Int32Array array = Napi::Int32Array::New(env, values.size());
  if (!values.empty()) std::memcpy(array.Data(), values.data(), values.size() * sizeof(int32_t));
  return array;
}

Napi::Value strings_to_js(Napi::Env env, const std::vector<std::string>& strings) {
  Napi::Array array = Napi::Array::New(env, strings.size());
  for (size_t i = 0; i < strings.size(); i++)
    array.Set(static_cast<uint32_t>(i), Napi::String::New(env, strings[i]));
  return array;
}

Napi::Value tensor_to_js(Napi::Env env, OutputTensor tensor) {
  Napi::Array dims = Napi::Array::New(env, tensor.dims.size());
  for (size_t i = 0; i < tensor.dims.size(); i++)
    dims.Set(static_cast<uint32_t>(i), Napi::Number::New(env, static_cast<double>(tensor.dims[i])));
  Napi::Object entry = Napi::Object::New(env);
  entry.Set("dims", dims);
  entry.Set("data", float_array(env, std::move(tensor)));
  return entry;
}

Napi::Value tensors_to_js(Napi::Env env, ForwardResult tensors) {
  Napi::Object object = Napi::Object::New(env);
  for (OutputTensor& tensor : tensors) {
    const std::string name = tensor.name;
    object.Set(name, tensor_to_js(env, std::move(tensor)));
  }
  return object;
}

Napi::Value encoding_to_js(Napi::Env env, const Encoding& encoding, bool with_tokens) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("ids", int_array(env, encoding.ids));
  object.Set("types", int_array(env, encoding.types));
  object.Set("offsets", int_array(env, encoding.offsets));
  object.Set("tokens", with_tokens ? strings_to_js(env, encoding.tokens) : Napi::Array::New(env));
  Napi::Array overflowing = Napi::Array::New(env, encoding.overflowing.size());
  for (size_t i = 0; i < encoding.overflowing.size(); i++)
    overflowing.Set(static_cast<uint32_t>(i), encoding_to_js(env, encoding.overflowing[i], with_tokens));
  object.Set("overflowing", overflowing);
  return object;
}

}  // namespace albert::binding
