#include "../core/losses.h"

#include "args.h"
#include "job.h"
#include "nouns.h"

namespace listwise::binding {

Napi::Value losses(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    Args args(info[0], "losses");
    const auto queries = args.doubles("queries"), passages = args.doubles("passages");
    const auto dimension = args.integer("dimension");
    const auto lists = readLists(args);
    const auto options = readLossOptions(args.object("loss"));
    args.done();
    return Job<core::LossGradients, Holds>::start(
        info.Env(), Holds{args.takePins(), {}},
        [=](const core::CancelToken& cancel) {
          return core::losses(queries, passages, dimension, lists, options, cancel);
        },
        [](Napi::Env env, core::LossGradients& result) -> Napi::Value {
          auto out = Napi::Object::New(env);
          out.Set("listwise", *result.listwise);
          if (result.contrastive) out.Set("contrastive", *result.contrastive);
          out.Set("loss", result.loss);
          out.Set("gradQueries", toTypedArray<Napi::Float64Array>(env, result.gradQueries));
          out.Set("gradPassages", toTypedArray<Napi::Float64Array>(env, result.gradPassages));
          return out;
        });
  });
}

}  // namespace listwise::binding
