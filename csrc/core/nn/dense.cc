#include "dense.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/threshold_backward.h>

#include <string>

namespace listwise::core::nn {
namespace {

std::string key(size_t layer, const char* part) {
  return denseKey(layer) + part;
}

at::Tensor activate(const at::Tensor& z, DenseActivation kind) {
  switch (kind) {
    case DenseActivation::Tanh:
      return at::tanh(z);
    case DenseActivation::Relu:
      return at::relu(z);
    case DenseActivation::Gelu:
      return at::gelu(z);
    case DenseActivation::Sigmoid:
      return at::sigmoid(z);
    default:
      return z;
  }
}

at::Tensor activateBackward(const at::Tensor& dy, const at::Tensor& z, DenseActivation kind) {
  switch (kind) {
    case DenseActivation::Tanh: {
      const auto y = at::tanh(z);
      return dy * (1 - y * y);
    }
    case DenseActivation::Relu:
      return at::threshold_backward(dy, z, 0);
    case DenseActivation::Gelu:
      return at::gelu_backward(dy, z);
    case DenseActivation::Sigmoid: {
      const auto y = at::sigmoid(z);
      return dy * y * (1 - y);
    }
    default:
      return dy;
  }
}

}  // namespace

at::Tensor DenseLayers::forward(at::Tensor x, std::vector<DenseTrace>* traces) const {
  const auto& master = parameters_.master();
  for (size_t i = 0; i < spec_.dense.size(); ++i) {
    const auto weight = parameters_.viewInto(master, key(i, ".weight"));
    const auto bias = parameters_.viewInto(master, key(i, ".bias"));
    auto z = bias.defined() ? at::addmm(bias, x, weight.t()) : at::mm(x, weight.t());
    if (traces != nullptr) traces->push_back({x, z});
    x = activate(z, spec_.dense[i].activation);
  }
  return x;
}

at::Tensor DenseLayers::backward(at::Tensor dy, const std::vector<DenseTrace>& traces,
                                 const at::Tensor& gradient) const {
  for (size_t i = spec_.dense.size(); i-- > 0;) {
    const auto dz = activateBackward(dy, traces[i].z, spec_.dense[i].activation);
    parameters_.viewInto(gradient, key(i, ".weight")).add_(at::mm(dz.t(), traces[i].x));
    if (auto bias = parameters_.viewInto(gradient, key(i, ".bias")); bias.defined())
      bias.add_(dz.sum(0));
    dy = at::mm(dz, parameters_.viewInto(parameters_.master(), key(i, ".weight")));
  }
  return dy;
}

}  // namespace listwise::core::nn
