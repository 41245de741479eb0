#include "matmul.h"

#include <ATen/Parallel.h>
#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>

#include <optional>

#include "../kernels/kernels.h"
#include "../memory.h"

namespace listwise::core::nn {
namespace {

using LinearPointwise = at::Tensor(const at::Tensor&, const at::Tensor&,
                                   const std::optional<at::Tensor>&, c10::string_view,
                                   c10::List<std::optional<at::Scalar>>,
                                   std::optional<c10::string_view>);

const std::optional<c10::TypedOperatorHandle<LinearPointwise>>& linearPointwise() {
  static const auto found = []() -> std::optional<c10::TypedOperatorHandle<LinearPointwise>> {
    const auto handle = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
    if (!handle || !handle->hasKernelForDispatchKey(c10::DispatchKey::CPU)) return std::nullopt;
    return handle->typed<LinearPointwise>();
  }();
  return found;
}

// Nothing where oneDNN is not there or fails. It does once the system has refused it memory for the
// code it writes: that error stays with the thread for good (oneDNN 3, Xbyak's error state).
at::Tensor tryLinear(const at::Tensor& a, const at::Tensor& b, const at::Tensor& bias,
                     const char* then) {
  if (!linearPointwise()) return {};
  try {
    return linearPointwise()->call(a, b,
                                   bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt,
                                   then, c10::List<std::optional<at::Scalar>>(), "none");
  } catch (...) {
    if (isOutOfMemory(std::current_exception())) throw;
    return {};
  }
}

}  // namespace

at::Tensor matmulTransposed(const at::Tensor& a, const at::Tensor& b, const at::Tensor& bias) {
  if (auto product = tryLinear(a, b, bias, "none"); product.defined()) return product;
  return bias.defined() ? at::addmm(bias, a, b.t()) : at::mm(a, b.t());
}

at::Tensor matmulTransposedGelu(const at::Tensor& a, const at::Tensor& b, const at::Tensor& bias) {
  if (auto product = tryLinear(a, b, bias, "gelu"); product.defined()) return product;
  auto product = matmulTransposed(a, b, bias);
  float* numbers = product.mutable_data_ptr<float>();
  at::parallel_for(0, product.numel(), 1 << 15, [&](int64_t first, int64_t last) {
    kernels::table().gelu(numbers + first, numbers + first, last - first);
  });
  return product;
}

}  // namespace listwise::core::nn
