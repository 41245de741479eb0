#pragma once
#include <napi.h>

namespace listwise::binding {

Napi::Value losses(const Napi::CallbackInfo& info);
Napi::Value search(const Napi::CallbackInfo& info);
Napi::Value environment(const Napi::CallbackInfo& info);

}  // namespace listwise::binding
