#include "../core/environment.h"

#include "job.h"
#include "nouns.h"

namespace listwise::binding {

Napi::Value environment(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto found = core::environment();
    auto out = Napi::Object::New(info.Env());
    out.Set("torch", found.torch);
    out.Set("cuda", found.cuda);
    out.Set("threads", found.threads);
    out.Set("kernels", found.kernels);
    out.Set("cudaKernels", found.cudaKernels);
    auto devices = Napi::Array::New(info.Env());
    for (const auto& capability : found.devices) devices.Set(devices.Length(), capability);
    out.Set("devices", devices);
    return out;
  });
}

}  // namespace listwise::binding
