// What the classes that JavaScript holds objects of have in common: how native code makes an object, and how
// one is told from foreign ones. Includes napi.h.
#pragma once

#include "environment.h"
#include "support/error.h"

namespace albert::binding {

struct WrappedClass {
  const char* name;    // 'Model'
  const char* makers;  // the exports that make one
  napi_type_tag tag;   // of its objects, and of what carries their contents to the constructor
  Napi::FunctionReference Environment::*constructor;
};

// The base of `Self`, which has its WrappedClass as kClass.
template <typename Self>
class Wrapped : public Napi::ObjectWrap<Self> {
 public:
  // Called by ObjectWrap before every method: a foreign object, on which a method was borrowed, throws
  // instead of being read as one of ours. For arguments likewise.
  static Self* Unwrap(Napi::Object object) {
    if (!object.IsObject() || !object.CheckTypeTag(&Self::kClass.tag))
      throw Napi::TypeError::New(
          object.Env(), str("expected a ", Self::kClass.name, " that ", Self::kClass.makers, " made"));
    return Napi::ObjectWrap<Self>::Unwrap(object);
  }

 protected:
  explicit Wrapped(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Self>(info) {}

  // A new object, whose constructor finds `contents` by contents_of(). It gets its tag when it is whole.
  template <typename Contents>
  static Napi::Value make(Napi::Env env, Contents contents) {
    const auto external = Napi::External<Contents>::New(env, &contents);
    external.TypeTag(&Self::kClass.tag);
    const Napi::Object object = (Environment::of(env).*Self::kClass.constructor).New({external});
    object.TypeTag(&Self::kClass.tag);
    return object;
  }

  // Throws unless make() called the constructor.
  template <typename Contents>
  static Contents& contents_of(const Napi::CallbackInfo& info) {
    using External = Napi::External<Contents>;
    if (!info[0].IsExternal() || !info[0].As<External>().CheckTypeTag(&Self::kClass.tag))
      throw Napi::TypeError::New(info.Env(),
                                 str("a ", Self::kClass.name, " is made by ", Self::kClass.makers));
    return *info[0].As<External>().Data();
  }
};

}  // namespace albert::binding
