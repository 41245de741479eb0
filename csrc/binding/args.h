#pragma once
#include <napi.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "../core/encoder.h"
#include "../core/losses.h"
#include "../core/optimizer_options.h"
#include "../core/search.h"
#include "../core/trainer.h"

namespace listwise::binding {

// One options object of a call, the only place where JavaScript values are read. A field that is
// missing or of another type throws INVALID_ARGUMENT with its name; so does a field that nobody
// asked for, in `done`. Typed arrays are borrowed, and `pins` keeps them alive while a job runs.
class Args {
 public:
  Args(const Napi::Value& value, std::string name);
  Args(Args&&) noexcept = default;

  std::string string(const char* field);
  std::vector<std::string> strings(const char* field);
  std::map<std::string, std::string> stringMap(const char* field);
  bool boolean(const char* field);
  double number(const char* field);
  int64_t integer(const char* field);
  std::vector<double> numberList(const char* field);
  std::span<const int32_t> int32s(const char* field);
  std::span<const float> floats(const char* field);
  std::span<const uint16_t> uint16s(const char* field);
  // Whether a field is a Uint16Array, where it may be an array of another type instead.
  bool isUint16s(const char* field);
  std::span<const double> doubles(const char* field);
  // One of the names; returns its place.
  size_t choice(const char* field, const std::vector<std::string>& names);
  bool has(const char* field);
  Args object(const char* field);
  std::vector<Args> objects(const char* field);

  // Call when every field has been read.
  void done();

  std::vector<Napi::Reference<Napi::Value>> takePins() { return std::move(pins_); }

 private:
  Napi::Value get(const char* field);
  [[noreturn]] void fail(const std::string& field, const std::string& expected,
                         const Napi::Value& received);
  template <class Array, class Number>
  std::span<const Number> numbers(const char* field, napi_typedarray_type type,
                                  const char* expected);

  Napi::Object object_;
  std::string name_;
  std::vector<std::string> read_;
  std::vector<Napi::Reference<Napi::Value>> pins_;
};

// The plain structs of core, read from the objects of lib/native.ts.
core::EncoderSpec readEncoderSpec(Args& args);
const std::string& nameOf(core::Precision precision);
core::PackedTexts readPackedTexts(Args& args);
core::Lists readLists(Args& args);
core::LossOptions readLossOptions(Args args);
core::OptimizerOptions readOptimizerOptions(Args& args);
core::Pooling readPooling(Args& args);

}  // namespace listwise::binding
