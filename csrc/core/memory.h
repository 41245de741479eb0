#pragma once
#include <cstdint>
#include <exception>
#include <optional>
#include <string>

namespace listwise::core {

// Whether an exception says that memory ran out, on the host or on a device: std::bad_alloc,
// libtorch's OutOfMemoryError, our own OUT_OF_MEMORY, or one of the general errors by which
// libtorch's allocators and CUDA's libraries say so in words only.
bool isOutOfMemory(const std::exception_ptr& exception);

// What an exception says, without libtorch's backtrace.
std::string messageOf(const std::exception_ptr& exception);

// Bytes free on a CUDA device, what libtorch holds and does not use included. Nothing for the CPU,
// whose memory Node.js knows better, and for a libtorch that cannot tell.
std::optional<int64_t> freeDeviceBytes(const std::string& device);

// The most memory that matrices took on a device while one of these lives, beyond what they took
// when it was made. On the CPU this is what the memory pool held, freed blocks that it keeps
// included; 0 on a device whose libtorch cannot tell.
class PeakMemory {
 public:
  explicit PeakMemory(const std::string& device);
  int64_t bytes() const;

 private:
  const std::string device_;
  int64_t start_;
};

}  // namespace listwise::core
