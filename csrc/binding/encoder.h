#pragma once
#include <napi.h>

#include <memory>

#include "../core/encoder.h"
#include "job.h"

namespace listwise::binding {

// NativeEncoder of lib/native.ts.
class Encoder : public Napi::ObjectWrap<Encoder> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit Encoder(const Napi::CallbackInfo& info);

  // Throws DISPOSED after dispose().
  std::shared_ptr<core::Encoder> core() const;
  Lease lease() { return Lease(busy_, "encoder"); }

 private:
  Napi::Value encode(const Napi::CallbackInfo& info);
  Napi::Value save(const Napi::CallbackInfo& info);
  Napi::Value parameterNames(const Napi::CallbackInfo& info);
  Napi::Value parameter(const Napi::CallbackInfo& info);
  Napi::Value dimension(const Napi::CallbackInfo& info);
  Napi::Value device(const Napi::CallbackInfo& info);
  Napi::Value precision(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);

  std::shared_ptr<core::Encoder> core_;  // empty once disposed
  bool busy_ = false;
};

Napi::Value loadEncoder(const Napi::CallbackInfo& info);

}  // namespace listwise::binding
