#include "environment.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/version.h>

#include "kernels/kernels.h"

#ifdef LISTWISE_CUDA
// Of the CUDA runtime that libtorch brings, whose headers it does not bring. 0 is success.
extern "C" int cudaDeviceGetAttribute(int* value, int attribute, int device);
#endif

namespace listwise::core {
namespace {

#ifdef LISTWISE_CUDA_KERNELS
constexpr bool hasCudaKernels = true;
#else
constexpr bool hasCudaKernels = false;
#endif

std::vector<std::string> capabilities() {
  std::vector<std::string> found;
#ifdef LISTWISE_CUDA
  // cudaDevAttrComputeCapabilityMajor and -Minor. Asking for them makes no context on a device.
  constexpr int majorOf = 75, minorOf = 76;
  const int count =
      at::hasCUDA() ? c10::impl::getDeviceGuardImpl(c10::DeviceType::CUDA)->deviceCount() : 0;
  for (int i = 0; i < count; ++i) {
    int major = 0, minor = 0;
    const bool known = cudaDeviceGetAttribute(&major, majorOf, i) == 0 &&
                       cudaDeviceGetAttribute(&minor, minorOf, i) == 0;
    found.push_back(known ? std::to_string(major) + "." + std::to_string(minor) : "unknown");
  }
#endif
  return found;
}

}  // namespace

Environment environment() {
  return {TORCH_VERSION,         at::hasCUDA(),  at::get_num_threads(),
          kernels::table().name, hasCudaKernels, capabilities()};
}

}  // namespace listwise::core
