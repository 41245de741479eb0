#pragma once
#include <stdexcept>
#include <string>
#include <utility>

namespace listwise::core {

// The only exception core throws on purpose. The code is one of lib/errors.ts's ErrorCode.
class Error : public std::runtime_error {
 public:
  Error(std::string code, const std::string& message)
      : std::runtime_error(message), code_(std::move(code)) {}
  const std::string& code() const { return code_; }

 private:
  std::string code_;
};

inline Error invalidArgument(const std::string& message) {
  return Error("INVALID_ARGUMENT", message);
}

// For states that only a mistake in this project can lead to.
inline Error bug(const std::string& message) {
  return Error("INTERNAL", message + " This is a bug in listwise; please report it.");
}

}  // namespace listwise::core
