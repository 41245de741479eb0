#include <napi.h>

#include "encoder.h"
#include "job.h"
#include "nouns.h"
#include "trainer.h"

namespace listwise::binding {

// process.exit() runs no cleanup hook, so lib/native.ts calls this from an exit listener: jobs end
// at their next check, and the process does not wait for a long one.
static Napi::Value cancelAll(const Napi::CallbackInfo& info) {
  info.Env().GetInstanceData<State>()->cancelAll();
  return info.Env().Undefined();
}

static Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* state = new State();
  env.SetInstanceData(state);
  state->encoder = Napi::Persistent(Encoder::define(env));
  state->trainer = Napi::Persistent(Trainer::define(env));
  exports.Set("loadEncoder", Napi::Function::New<loadEncoder>(env, "loadEncoder"));
  exports.Set("createTrainer", Napi::Function::New<createTrainer>(env, "createTrainer"));
  exports.Set("losses", Napi::Function::New<losses>(env, "losses"));
  exports.Set("search", Napi::Function::New<search>(env, "search"));
  exports.Set("environment", Napi::Function::New<environment>(env, "environment"));
  exports.Set("sources", LISTWISE_SOURCES);
  exports.Set("cancelAll", Napi::Function::New<cancelAll>(env, "cancelAll"));
  return exports;
}

}  // namespace listwise::binding

static Napi::Object initAddon(Napi::Env env, Napi::Object exports) {
  return listwise::binding::init(env, exports);
}

NODE_API_MODULE(listwise, initAddon)
