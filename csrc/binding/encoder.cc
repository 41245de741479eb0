#include "encoder.h"

#include "args.h"

namespace listwise::binding {

using CoreEncoder = std::shared_ptr<core::Encoder>;

Napi::Function Encoder::define(Napi::Env env) {
  return DefineClass(
      env, "NativeEncoder",
      {InstanceMethod<&Encoder::encode>("encode"), InstanceMethod<&Encoder::save>("save"),
       InstanceMethod<&Encoder::parameterNames>("parameterNames"),
       InstanceMethod<&Encoder::parameter>("parameter"),
       InstanceMethod<&Encoder::dispose>("dispose"),
       InstanceAccessor<&Encoder::dimension>("dimension"),
       InstanceAccessor<&Encoder::device>("device"),
       InstanceAccessor<&Encoder::precision>("precision")});
}

// Made by loadEncoder only, which passes the loaded encoder.
Encoder::Encoder(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Encoder>(info) {
  guarded(info.Env(), [&] {
    if (!info[0].IsExternal())
      throw core::invalidArgument("Use loadEncoder() to make a NativeEncoder.");
    core_ = *info[0].As<Napi::External<CoreEncoder>>().Data();
  });
}

Napi::Value loadEncoder(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    Args args(info[0], "spec");
    auto spec = readEncoderSpec(args);
    args.done();
    return Job<CoreEncoder, Holds>::start(
        info.Env(), {},
        [spec = std::move(spec)](const core::CancelToken& cancel) {
          return CoreEncoder(core::Encoder::load(spec, cancel));
        },
        [](Napi::Env env, CoreEncoder& encoder) -> Napi::Value {
          return env.GetInstanceData<State>()->encoder.New(
              {Napi::External<CoreEncoder>::New(env, &encoder)});
        });
  });
}

std::shared_ptr<core::Encoder> Encoder::core() const {
  if (!core_)
    throw core::Error("DISPOSED", "Expected an encoder in use but this one was disposed.");
  return core_;
}

Napi::Value Encoder::encode(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto encoder = core();
    Args args(info[0], "encode");
    const auto texts = readPackedTexts(args);
    const core::EncodeOptions options{readPooling(args), args.boolean("normalize"),
                                      args.integer("tokenBudget")};
    args.done();
    Holds holds{args.takePins(), {}};
    holds.leases.push_back(lease());
    holds.keep(info.This());
    return Job<std::vector<float>, Holds>::start(
        info.Env(), std::move(holds),
        [=](const core::CancelToken& cancel) { return encoder->encode(texts, options, cancel); },
        [](Napi::Env env, std::vector<float>& rows) {
          return toTypedArray<Napi::Float32Array>(env, rows);
        });
  });
}

Napi::Value Encoder::save(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto encoder = core();
    Args args(info[0], "save");
    core::SaveFiles files{args.string("file"), {}};
    if (args.has("denseFiles")) files.dense = args.strings("denseFiles");
    args.done();
    Holds holds;
    holds.leases.push_back(lease());
    holds.keep(info.This());
    return Job<bool, Holds>::start(
        info.Env(), std::move(holds),
        [=](const core::CancelToken&) {
          encoder->save(files);
          return true;
        },
        [](Napi::Env env, bool&) { return env.Undefined(); });
  });
}

Napi::Value Encoder::parameterNames(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto names = core()->parameterNames();
    auto out = Napi::Array::New(info.Env(), names.size());
    for (uint32_t i = 0; i < names.size(); ++i) out.Set(i, names[i]);
    return out;
  });
}

Napi::Value Encoder::parameter(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    if (!info[0].IsString()) throw core::invalidArgument("Expected the name of a parameter.");
    const auto encoder = core();
    const Lease held = lease();
    return toTypedArray<Napi::Float32Array>(
        info.Env(), encoder->parameter(info[0].As<Napi::String>().Utf8Value()));
  });
}

Napi::Value Encoder::dimension(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return Napi::Number::New(info.Env(), static_cast<double>(core()->dimension()));
  });
}

Napi::Value Encoder::device(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return Napi::String::New(info.Env(), core()->spec().device); });
}

Napi::Value Encoder::precision(const Napi::CallbackInfo& info) {
  return guarded(info.Env(),
                 [&] { return Napi::String::New(info.Env(), nameOf(core()->spec().precision)); });
}

// Idempotent. A job under way holds its own reference, so the memory goes when it ends.
Napi::Value Encoder::dispose(const Napi::CallbackInfo& info) {
  core_.reset();
  return info.Env().Undefined();
}

}  // namespace listwise::binding
