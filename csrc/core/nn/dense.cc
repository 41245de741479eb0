#include "dense.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/native_layer_norm.h>
#include <ATen/ops/native_layer_norm_backward.h>
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

at::Tensor DenseLayers::own(size_t layer, const char* part) const {
  return parameters_.viewInto(parameters_.master(), key(layer, part));
}

at::Tensor DenseLayers::forward(at::Tensor x, std::vector<DenseTrace>* traces) const {
  for (size_t i = 0; i < spec_.dense.size(); ++i) {
    const auto weight = own(i, ".weight"), bias = own(i, ".bias");
    auto z = bias.defined() ? at::addmm(bias, x, weight.t()) : at::mm(x, weight.t());
    if (traces != nullptr) traces->push_back({x, z});
    x = activate(z, spec_.dense[i].activation);
    const auto norm = own(i, ".norm.weight");
    if (!norm.defined()) continue;
    auto [y, mean, rstd] =
        at::native_layer_norm(x, {x.size(1)}, norm, own(i, ".norm.bias"), spec_.dense[i].norm.eps);
    x = y;
    if (traces != nullptr) {
      traces->back().mean = mean;
      traces->back().rstd = rstd;
    }
  }
  return x;
}

at::Tensor DenseLayers::normBackward(const at::Tensor& dy, size_t layer, const DenseTrace& trace,
                                     const at::Tensor& gradient) const {
  const auto x = activate(trace.z, spec_.dense[layer].activation);
  const auto bias = own(layer, ".norm.bias");
  const auto [dx, dWeight, dBias] = at::native_layer_norm_backward(
      dy, x, {x.size(1)}, trace.mean, trace.rstd, own(layer, ".norm.weight"), bias,
      {true, true, bias.defined()});
  parameters_.viewInto(gradient, key(layer, ".norm.weight")).add_(dWeight);
  if (bias.defined()) parameters_.viewInto(gradient, key(layer, ".norm.bias")).add_(dBias);
  return dx;
}

at::Tensor DenseLayers::backward(at::Tensor dy, const std::vector<DenseTrace>& traces,
                                 const at::Tensor& gradient) const {
  for (size_t i = spec_.dense.size(); i-- > 0;) {
    if (traces[i].mean.defined()) dy = normBackward(dy, i, traces[i], gradient);
    const auto dz = activateBackward(dy, traces[i].z, spec_.dense[i].activation);
    parameters_.viewInto(gradient, key(i, ".weight")).add_(at::mm(dz.t(), traces[i].x));
    if (auto bias = parameters_.viewInto(gradient, key(i, ".bias")); bias.defined())
      bias.add_(dz.sum(0));
    dy = at::mm(dz, own(i, ".weight"));
  }
  return dy;
}

}  // namespace listwise::core::nn
