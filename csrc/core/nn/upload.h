#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace listwise::core::nn {

// The numbers as a tensor on the device: to a GPU by way of pinned memory, without waiting for it.
at::Tensor upload(const std::vector<int64_t>& values, const at::Device& device,
                  at::ScalarType type = at::kLong);
// The same for what was made on the host.
at::Tensor upload(const at::Tensor& host, const at::Device& device);

}  // namespace listwise::core::nn
