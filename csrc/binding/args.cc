#include "args.h"

#include <algorithm>
#include <cmath>

#include "../core/error.h"

namespace listwise::binding {
namespace {

std::string typeName(const Napi::Value& value) {
  if (value.IsUndefined()) return "undefined";
  if (value.IsNull()) return "null";
  if (value.IsString())
    return "the string \"" + value.As<Napi::String>().Utf8Value().substr(0, 80) + "\"";
  if (value.IsNumber() || value.IsBoolean()) return value.ToString().Utf8Value();
  if (value.IsArray()) return "an array";
  if (value.IsTypedArray()) return "another typed array";
  return value.IsFunction() ? "a function" : "an object";
}

}  // namespace

Args::Args(const Napi::Value& value, std::string name) : name_(std::move(name)) {
  if (!value.IsObject() || value.IsArray() || value.IsTypedArray() || value.IsFunction()) {
    throw core::invalidArgument("Expected an object for " + name_ + " but received " +
                                typeName(value) + ".");
  }
  object_ = value.As<Napi::Object>();
}

void Args::fail(const std::string& field, const std::string& expected,
                const Napi::Value& received) {
  throw core::invalidArgument("Expected " + expected + " for " + name_ + "." + field +
                              " but received " + typeName(received) + ".");
}

Napi::Value Args::get(const char* field) {
  read_.emplace_back(field);
  return object_.Get(field);
}

bool Args::has(const char* field) {
  read_.emplace_back(field);
  return !object_.Get(field).IsUndefined();
}

std::string Args::string(const char* field) {
  const auto value = get(field);
  if (!value.IsString()) fail(field, "a string", value);
  return value.As<Napi::String>().Utf8Value();
}

std::vector<std::string> Args::strings(const char* field) {
  const auto value = get(field);
  if (!value.IsArray()) fail(field, "an array of strings", value);
  const auto array = value.As<Napi::Array>();
  std::vector<std::string> out;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array.Get(i);
    if (!item.IsString())
      fail(std::string(field) + "[" + std::to_string(i) + "]", "a string", item);
    out.push_back(item.As<Napi::String>().Utf8Value());
  }
  return out;
}

std::map<std::string, std::string> Args::stringMap(const char* field) {
  const auto value = get(field);
  if (!value.IsObject() || value.IsArray()) fail(field, "an object of strings", value);
  const auto object = value.As<Napi::Object>();
  const auto keys = object.GetPropertyNames();
  std::map<std::string, std::string> out;
  for (uint32_t i = 0; i < keys.Length(); ++i) {
    const std::string key = keys.Get(i).As<Napi::String>().Utf8Value();
    const Napi::Value item = object.Get(key);
    if (!item.IsString()) fail(std::string(field) + "." + key, "a string", item);
    out[key] = item.As<Napi::String>().Utf8Value();
  }
  return out;
}

bool Args::boolean(const char* field) {
  const auto value = get(field);
  if (!value.IsBoolean()) fail(field, "true or false", value);
  return value.As<Napi::Boolean>().Value();
}

double Args::number(const char* field) {
  const auto value = get(field);
  if (!value.IsNumber() || !std::isfinite(value.As<Napi::Number>().DoubleValue()))
    fail(field, "a finite number", value);
  return value.As<Napi::Number>().DoubleValue();
}

int64_t Args::integer(const char* field) {
  const auto value = get(field);
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : NAN;
  if (!(std::abs(number) <= 9007199254740991.0) || number != std::floor(number))
    fail(field, "a whole number", value);
  return static_cast<int64_t>(number);
}

template <class Array, class Number>
std::span<const Number> Args::numbers(const char* field, napi_typedarray_type type,
                                      const char* expected) {
  const auto value = get(field);
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type)
    fail(field, expected, value);
  const auto array = value.As<Array>();
  pins_.push_back(Napi::Reference<Napi::Value>::New(value, 1));
  return {array.Data(), array.ElementLength()};
}

std::span<const int32_t> Args::int32s(const char* field) {
  return numbers<Napi::Int32Array, int32_t>(field, napi_int32_array, "an Int32Array");
}

std::span<const float> Args::floats(const char* field) {
  return numbers<Napi::Float32Array, float>(field, napi_float32_array, "a Float32Array");
}

std::span<const uint16_t> Args::uint16s(const char* field) {
  return numbers<Napi::Uint16Array, uint16_t>(field, napi_uint16_array, "a Uint16Array");
}

bool Args::isUint16s(const char* field) {
  const auto value = get(field);
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint16_array;
}

std::span<const double> Args::doubles(const char* field) {
  return numbers<Napi::Float64Array, double>(field, napi_float64_array, "a Float64Array");
}

size_t Args::choice(const char* field, const std::vector<std::string>& names) {
  const auto value = get(field);
  const std::string text = value.IsString() ? value.As<Napi::String>().Utf8Value() : "";
  const auto found = std::find(names.begin(), names.end(), text);
  if (found == names.end()) {
    std::string expected;
    for (const auto& name : names) expected += (expected.empty() ? "'" : " or '") + name + "'";
    fail(field, expected, value);
  }
  return static_cast<size_t>(found - names.begin());
}

std::vector<double> Args::numberList(const char* field) {
  const auto value = get(field);
  if (!value.IsArray()) fail(field, "an array of numbers", value);
  const auto array = value.As<Napi::Array>();
  std::vector<double> out;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array.Get(i);
    const double number = item.IsNumber() ? item.As<Napi::Number>().DoubleValue() : NAN;
    if (!std::isfinite(number))
      fail(std::string(field) + "[" + std::to_string(i) + "]", "a finite number", item);
    out.push_back(number);
  }
  return out;
}

std::vector<Args> Args::objects(const char* field) {
  const auto value = get(field);
  if (!value.IsArray()) fail(field, "an array of objects", value);
  const auto array = value.As<Napi::Array>();
  std::vector<Args> out;
  for (uint32_t i = 0; i < array.Length(); ++i)
    out.emplace_back(array.Get(i), name_ + "." + field + "[" + std::to_string(i) + "]");
  return out;
}

Args Args::object(const char* field) {
  return {get(field), name_ + "." + field};
}

void Args::done() {
  const auto keys = object_.GetPropertyNames();
  for (uint32_t i = 0; i < keys.Length(); ++i) {
    const std::string key = keys.Get(i).As<Napi::String>().Utf8Value();
    if (std::find(read_.begin(), read_.end(), key) == read_.end()) {
      throw core::invalidArgument("Expected no field \"" + key + "\" in " + name_ + ".");
    }
  }
}

core::PackedTexts readPackedTexts(Args& args) {
  core::PackedTexts texts{args.int32s("ids"), args.int32s("offsets")};
  if (args.has("secondStarts")) texts.secondStarts = args.int32s("secondStarts");
  return texts;
}

core::Lists readLists(Args& args) {
  return {args.int32s("rows"), args.doubles("teacher"), args.integer("listLength")};
}

core::LossOptions readLossOptions(Args args) {
  core::LossOptions out;
  out.studentTemperature = args.number("studentTemperature");
  out.teacherTemperature = args.number("teacherTemperature");
  out.contrastiveTemperature = args.number("contrastiveTemperature");
  out.contrastiveWeight = args.number("contrastiveWeight");
  out.listwiseWeight = args.number("listwiseWeight");
  out.maskThreshold = args.number("maskThreshold");
  args.done();
  return out;
}

core::OptimizerOptions readOptimizerOptions(Args& args) {
  core::OptimizerOptions out;
  out.beta1 = args.number("beta1");
  out.beta2 = args.number("beta2");
  out.epsilon = args.number("epsilon");
  out.weightDecay = args.number("weightDecay");
  out.clip = args.number("clip");
  args.done();
  return out;
}

core::Pooling readPooling(Args& args) {
  return static_cast<core::Pooling>(args.choice(
      "pooling",
      {"mean", "first-token", "max", "weighted-mean", "last-token", "mean-sqrt-length"}));
}

}  // namespace listwise::binding
