#include "../core/search.h"

#include "args.h"
#include "job.h"
#include "nouns.h"

namespace listwise::binding {

Napi::Value search(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    Args args(info[0], "search");
    core::SearchInput input;
    input.queries = args.floats("queries");
    if (args.isUint16s("corpus")) {
      input.corpusBf16 = args.uint16s("corpus");
    } else {
      input.corpus = args.floats("corpus");
    }
    input.dimension = args.integer("dimension");
    input.k = args.integer("k");
    input.firstRow = args.integer("firstRow");
    Holds holds;
    if (args.has("best")) {
      auto best = args.object("best");
      input.bestRows = best.int32s("rows");
      input.bestScores = best.floats("scores");
      best.done();
      holds.pin(best.takePins());
    }
    args.done();
    holds.pin(args.takePins());
    return Job<core::TopK, Holds>::start(
        info.Env(), std::move(holds),
        [=](const core::CancelToken& cancel) { return core::search(input, cancel); },
        [](Napi::Env env, core::TopK& top) -> Napi::Value {
          auto out = Napi::Object::New(env);
          out.Set("rows", toTypedArray<Napi::Int32Array>(env, top.rows));
          out.Set("scores", toTypedArray<Napi::Float32Array>(env, top.scores));
          return out;
        });
  });
}

}  // namespace listwise::binding
