#include "upload.h"

#include <ATen/ops/empty.h>

#include <algorithm>

namespace listwise::core::nn {

at::Tensor upload(const std::vector<int64_t>& values, const at::Device& device,
                  at::ScalarType type) {
  const auto options = at::TensorOptions().dtype(type).pinned_memory(!device.is_cpu());
  auto host = at::empty({static_cast<int64_t>(values.size())}, options);
  if (type == at::kInt) {
    std::copy(values.begin(), values.end(), host.data_ptr<int32_t>());
  } else {
    std::copy(values.begin(), values.end(), host.data_ptr<int64_t>());
  }
  return device.is_cpu() ? host : host.to(device, true);
}

at::Tensor upload(const at::Tensor& host, const at::Device& device) {
  return device.is_cpu() ? host : host.pin_memory().to(device, true);
}

}  // namespace listwise::core::nn
