#include "transpose.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>

#include "../kernels/kernels.h"

namespace listwise::core::nn {
namespace {

// Columns that one thread takes: whole cache lines of what is read, and pages of what is written.
constexpr int64_t grain = 32;

}  // namespace

at::Tensor transposed(const at::Tensor& matrix, const at::Tensor& sums) {
  const int64_t rows = matrix.size(0), columns = matrix.size(1);
  auto result = at::empty({columns, rows}, matrix.options());
  const kernels::Transposition args{
      matrix.const_data_ptr<float>(), result.mutable_data_ptr<float>(),
      sums.defined() ? sums.mutable_data_ptr<float>() : nullptr, rows, columns};
  at::parallel_for(0, (columns + grain - 1) / grain, 1, [&](int64_t first, int64_t last) {
    kernels::table().transpose(args, first * grain, std::min(columns, last * grain));
  });
  return result;
}

}  // namespace listwise::core::nn
