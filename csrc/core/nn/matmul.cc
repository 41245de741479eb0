#include "matmul.h"

#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/mm.h>

#include <optional>

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

at::Tensor run(const at::Tensor& a, const at::Tensor& b, const at::Tensor& bias, const char* then) {
  return linearPointwise()->call(a, b,
                                 bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt,
                                 then, c10::List<std::optional<at::Scalar>>(), "none");
}

}  // namespace

at::Tensor matmulTransposed(const at::Tensor& a, const at::Tensor& b, const at::Tensor& bias) {
  if (linearPointwise()) return run(a, b, bias, "none");
  return bias.defined() ? at::addmm(bias, a, b.t()) : at::mm(a, b.t());
}

at::Tensor matmulTransposedGelu(const at::Tensor& a, const at::Tensor& b, const at::Tensor& bias) {
  if (linearPointwise()) return run(a, b, bias, "gelu");
  return at::gelu(at::addmm(bias, a, b.t()));
}

}  // namespace listwise::core::nn
