#include "memory.h"

#include <c10/core/Device.h>
#include <c10/util/Exception.h>
#include <torch/version.h>

#include <algorithm>
#include <new>
#include <string_view>

#include "error.h"
#include "nn/memory_pool.h"

// Earlier ones tell in a header that needs CUDA's own, which are there where nvcc is.
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 10)
#define LISTWISE_DEVICE_STATISTICS
#include <c10/core/CachingDeviceAllocator.h>
#elif defined(LISTWISE_CUDA_KERNELS)
#define LISTWISE_DEVICE_STATISTICS
#define LISTWISE_CUDA_CACHE
#include <c10/core/DeviceGuard.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <cuda_runtime_api.h>
#endif

namespace listwise::core {
namespace {

constexpr std::string_view memoryWords[] = {"out of memory", "not enough memory",
                                            "can't allocate memory", "ALLOC_FAILED",
                                            "could not create a memory"};

#ifdef LISTWISE_DEVICE_STATISTICS
// The whole device's entry of each statistic: StatType::AGGREGATE, whose namespace has changed.
constexpr size_t aggregate = 0;

c10::DeviceIndex indexOf(const at::Device& device) {
  return static_cast<c10::DeviceIndex>(std::max<int>(0, device.index()));
}

#ifdef LISTWISE_CUDA_CACHE
auto* allocatorOf(const at::Device&) {
  return c10::cuda::CUDACachingAllocator::get();
}

size_t freeOf(const at::Device& device) {
  const c10::DeviceGuard guard(at::Device(device.type(), indexOf(device)));
  size_t free = 0, total = 0;
  return cudaMemGetInfo(&free, &total) == cudaSuccess ? free : 0;
}
#else
c10::DeviceAllocator* allocatorOf(const at::Device& device) {
  return c10::getDeviceAllocator(device.type());
}

size_t freeOf(const at::Device& device) {
  return allocatorOf(device)->getMemoryInfo(indexOf(device)).first;
}
#endif

auto deviceStats(const at::Device& device) {
  return allocatorOf(device)->getDeviceStats(indexOf(device));
}
#endif

}  // namespace

bool isOutOfMemory(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const Error& error) {
    return error.code() == "OUT_OF_MEMORY";
  } catch (const std::bad_alloc&) {
    return true;
  } catch (const c10::OutOfMemoryError&) {
    return true;
  } catch (const std::exception& error) {
    const std::string_view message = error.what();
    return std::any_of(std::begin(memoryWords), std::end(memoryWords),
                       [&](auto words) { return message.find(words) != std::string_view::npos; });
  } catch (...) {
    return false;
  }
}

std::string messageOf(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& error) {
    const std::string message = error.what();
    return message.substr(0, message.find("\nException raised from"));
  } catch (...) {
    return "an unknown error";
  }
}

std::optional<int64_t> freeDeviceBytes([[maybe_unused]] const std::string& name) {
#ifdef LISTWISE_DEVICE_STATISTICS
  const at::Device device(name);
  if (device.is_cpu()) return std::nullopt;
  const auto stats = deviceStats(device);
  const int64_t idle =
      stats.reserved_bytes[aggregate].current - stats.allocated_bytes[aggregate].current;
  return static_cast<int64_t>(freeOf(device)) + idle;
#else
  return std::nullopt;
#endif
}

PeakMemory::PeakMemory(const std::string& device) : device_(device), start_(0) {
  if (at::Device(device_).is_cpu()) {
    nn::MemoryPool::startPeak();
    start_ = nn::MemoryPool::peak();
    return;
  }
#ifdef LISTWISE_DEVICE_STATISTICS
  const at::Device where(device_);
  allocatorOf(where)->resetPeakStats(indexOf(where));
  start_ = deviceStats(where).allocated_bytes[aggregate].current;
#endif
}

int64_t PeakMemory::bytes() const {
  if (at::Device(device_).is_cpu()) return nn::MemoryPool::peak() - start_;
#ifdef LISTWISE_DEVICE_STATISTICS
  return deviceStats(at::Device(device_)).allocated_bytes[aggregate].peak - start_;
#else
  return 0;
#endif
}

}  // namespace listwise::core
