#include "ops.h"

#include "cpu_ops.h"
#include "device_ops.h"
#include "int8_ops.h"
#include "portable_ops.h"

namespace listwise::core::nn {

bool computesAsDevice(const EncoderSpec& spec) {
  return spec.kernels == Kernels::Device || spec.device != "cpu";
}

std::unique_ptr<Ops> makeOps(const EncoderSpec& spec) {
  if (spec.precision == Precision::Int8) return std::make_unique<Int8Ops>();
  if (spec.kernels == Kernels::Portable) return std::make_unique<PortableOps>();
  if (computesAsDevice(spec)) return std::make_unique<DeviceOps>();
  if (spec.precision == Precision::Bf16) return std::make_unique<PortableOps>();
  return std::make_unique<CpuOps>();
}

}  // namespace listwise::core::nn
