#include "trainer.h"

#include "args.h"

namespace listwise::binding {

// A trainer and the encoder it refers to, which goes after it.
struct Trainer::Core {
  Core(std::shared_ptr<core::Encoder> e, const core::OptimizerOptions& options)
      : encoder(std::move(e)), trainer(*encoder, options) {}
  std::shared_ptr<core::Encoder> encoder;
  core::Trainer trainer;
};

Napi::Function Trainer::define(Napi::Env env) {
  return DefineClass(
      env, "NativeTrainer",
      {InstanceMethod<&Trainer::step>("step"), InstanceMethod<&Trainer::evaluate>("evaluate"),
       InstanceMethod<&Trainer::progress>("progress"), InstanceMethod<&Trainer::memory>("memory"),
       InstanceMethod<&Trainer::gradient>("gradient"),
       InstanceMethod<&Trainer::saveState>("saveState"),
       InstanceMethod<&Trainer::loadState>("loadState"),
       InstanceMethod<&Trainer::dispose>("dispose"), InstanceAccessor<&Trainer::steps>("steps")});
}

Napi::Value createTrainer(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto* state = info.Env().GetInstanceData<State>();
    if (!info[0].IsObject() || !info[0].As<Napi::Object>().InstanceOf(state->encoder.Value())) {
      throw core::invalidArgument(
          "Expected a NativeEncoder as the first argument of createTrainer.");
    }
    return state->trainer.New({info[0], info[1]});
  });
}

Trainer::Trainer(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Trainer>(info) {
  guarded(info.Env(), [&] {
    Args args(info[1], "optimizer");
    const auto options = readOptimizerOptions(args);
    auto* encoder = Encoder::Unwrap(info[0].As<Napi::Object>());
    auto shared = encoder->core();
    const Lease held = encoder->lease();
    core_ = std::make_shared<Core>(std::move(shared), options);
    encoder_ = Napi::Persistent(info[0].As<Napi::Object>());
  });
}

std::shared_ptr<Trainer::Core> Trainer::core() const {
  if (!core_) throw core::Error("DISPOSED", "Expected a trainer in use but this one was disposed.");
  return core_;
}

// A step uses the encoder too, so it is the encoder's lease that keeps both from being used twice.
Holds Trainer::holds(const Napi::CallbackInfo& info) {
  auto* encoder = Encoder::Unwrap(encoder_.Value());
  encoder->core();
  Holds out;
  out.leases.push_back(encoder->lease());
  out.keep(info.This());
  out.keep(encoder_.Value());
  return out;
}

static core::EmbeddingTask readEmbeddingTask(Args& args, Holds& holds) {
  core::EmbeddingTask task;
  auto queries = args.object("queries"), passages = args.object("passages");
  task.queries = readPackedTexts(queries);
  task.passages = readPackedTexts(passages);
  queries.done();
  passages.done();
  task.lists = readLists(args);
  task.loss = readLossOptions(args.object("loss"));
  holds.pin(queries.takePins());
  holds.pin(passages.takePins());
  return task;
}

static core::PairTask readPairTask(Args& args, Holds& holds) {
  core::PairTask task;
  auto pairs = args.object("pairs");
  task.pairs = readPackedTexts(pairs);
  pairs.done();
  task.lists = {args.doubles("labels"), args.integer("listLength")};
  task.loss = static_cast<core::ScoringLoss>(args.choice("loss", {"listwise", "bce"}));
  holds.pin(pairs.takePins());
  return task;
}

static core::TrainingBatch readBatch(Args& args, Holds& holds) {
  core::TrainingBatch batch;
  if (args.has("pairs"))
    batch.task = readPairTask(args, holds);
  else
    batch.task = readEmbeddingTask(args, holds);
  batch.pooling = readPooling(args);
  batch.tokenBudget = args.integer("tokenBudget");
  batch.keepBytes = args.integer("keepBytes");
  holds.pin(args.takePins());
  return batch;
}

static Napi::Object lossesToJs(Napi::Env env, const core::Losses& losses) {
  auto out = Napi::Object::New(env);
  if (losses.listwise) out.Set("listwise", *losses.listwise);
  if (losses.contrastive) out.Set("contrastive", *losses.contrastive);
  out.Set("loss", losses.loss);
  return out;
}

Napi::Value Trainer::step(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto self = core();
    Args args(info[0], "step");
    auto held = holds(info);
    const auto batch = readBatch(args, held);
    const double learningRate = args.number("learningRate");
    args.done();
    return Job<core::StepResult, Holds>::start(
        info.Env(), std::move(held),
        [=](const core::CancelToken& cancel) {
          return self->trainer.step(batch, learningRate, cancel);
        },
        [](Napi::Env env, core::StepResult& result) -> Napi::Value {
          auto out = lossesToJs(env, result);
          out.Set("gradNorm", result.gradNorm);
          out.Set("tokens", static_cast<double>(result.tokens));
          const auto set = [&](const char* name, int64_t value) {
            out.Set(name, static_cast<double>(value));
          };
          set("recomputedTokens", result.recomputedTokens);
          set("tokenBudget", result.tokenBudget);
          set("keptBytes", result.keptBytes);
          set("peakBytes", result.peakBytes);
          set("shortages", result.shortages);
          return out;
        });
  });
}

Napi::Value Trainer::evaluate(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto self = core();
    Args args(info[0], "evaluate");
    auto held = holds(info);
    const auto batch = readBatch(args, held);
    args.done();
    return Job<core::Losses, Holds>::start(
        info.Env(), std::move(held),
        [=](const core::CancelToken& cancel) { return self->trainer.evaluate(batch, cancel); },
        [](Napi::Env env, core::Losses& losses) -> Napi::Value { return lossesToJs(env, losses); });
  });
}

Napi::Value Trainer::progress(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto& counter = core()->trainer.progress();
    auto out = Napi::Object::New(info.Env());
    out.Set("done", static_cast<double>(counter.done()));
    out.Set("total", static_cast<double>(counter.total()));
    return out;
  });
}

Napi::Value Trainer::memory(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto self = core();
    const Lease held = Encoder::Unwrap(encoder_.Value())->lease();
    const auto facts = self->trainer.memory();
    auto out = Napi::Object::New(info.Env());
    const auto set = [&](const char* name, int64_t value) {
      out.Set(name, static_cast<double>(value));
    };
    set("traceBytesPerToken", facts.traceBytesPerToken);
    set("workBytesPerToken", facts.workBytesPerToken);
    set("bytesPerText", facts.bytesPerText);
    set("bytesPerQuery", facts.bytesPerQuery);
    set("bytesPerSlot", facts.bytesPerSlot);
    set("lossBytes", facts.lossBytes);
    set("stateBytes", facts.stateBytes);
    set("stateBytesMade", facts.stateBytesMade);
    set("idleBytes", facts.idleBytes);
    if (facts.freeDeviceBytes) set("freeDeviceBytes", *facts.freeDeviceBytes);
    return out;
  });
}

Napi::Value Trainer::gradient(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    if (!info[0].IsString()) throw core::invalidArgument("Expected the name of a parameter.");
    const auto self = core();
    const Lease held = Encoder::Unwrap(encoder_.Value())->lease();
    return toTypedArray<Napi::Float32Array>(
        info.Env(), self->trainer.gradient(info[0].As<Napi::String>().Utf8Value()));
  });
}

Napi::Value Trainer::steps(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return Napi::Number::New(info.Env(), static_cast<double>(core()->trainer.steps()));
  });
}

Napi::Value Trainer::workOnFile(const Napi::CallbackInfo& info, const char* name,
                                void (*work)(core::Trainer&, const std::string& file)) {
  return guarded(info.Env(), [&] {
    const auto self = core();
    Args args(info[0], name);
    const auto file = args.string("file");
    args.done();
    return Job<bool, Holds>::start(
        info.Env(), holds(info),
        [=](const core::CancelToken&) {
          work(self->trainer, file);
          return true;
        },
        [](Napi::Env env, bool&) { return env.Undefined(); });
  });
}

Napi::Value Trainer::saveState(const Napi::CallbackInfo& info) {
  return workOnFile(info, "saveState", [](auto& trainer, auto& file) { trainer.saveState(file); });
}

Napi::Value Trainer::loadState(const Napi::CallbackInfo& info) {
  return workOnFile(info, "loadState", [](auto& trainer, auto& file) { trainer.loadState(file); });
}

Napi::Value Trainer::dispose(const Napi::CallbackInfo& info) {
  core_.reset();
  return info.Env().Undefined();
}

}  // namespace listwise::binding
