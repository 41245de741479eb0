#pragma once
#include <ATen/core/Tensor.h>

namespace listwise::core::nn {

// The transpose of a contiguous fp32 matrix on the CPU, as a contiguous one; adds each column's sum
// to `sums` on the way, if that is defined. libtorch copies a transpose in one thread.
at::Tensor transposed(const at::Tensor& matrix, const at::Tensor& sums);

}  // namespace listwise::core::nn
