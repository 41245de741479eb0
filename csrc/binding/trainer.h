#pragma once
#include <napi.h>

#include <memory>

#include "../core/trainer.h"
#include "encoder.h"
#include "job.h"

namespace listwise::binding {

// NativeTrainer of lib/native.ts. Holds the encoder it trains.
class Trainer : public Napi::ObjectWrap<Trainer> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit Trainer(const Napi::CallbackInfo& info);

 private:
  struct Core;
  std::shared_ptr<Core> core() const;
  Holds holds(const Napi::CallbackInfo& info);

  Napi::Value step(const Napi::CallbackInfo& info);
  Napi::Value evaluate(const Napi::CallbackInfo& info);
  Napi::Value progress(const Napi::CallbackInfo& info);
  Napi::Value memory(const Napi::CallbackInfo& info);
  Napi::Value gradient(const Napi::CallbackInfo& info);
  Napi::Value steps(const Napi::CallbackInfo& info);
  Napi::Value saveState(const Napi::CallbackInfo& info);
  Napi::Value loadState(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);
  // A job that needs a file's name and gives nothing.
  Napi::Value workOnFile(const Napi::CallbackInfo& info, const char* name,
                         void (*work)(core::Trainer&, const std::string& file));

  std::shared_ptr<Core> core_;  // empty once disposed
  Napi::ObjectReference encoder_;
};

Napi::Value createTrainer(const Napi::CallbackInfo& info);

}  // namespace listwise::binding
