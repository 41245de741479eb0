#pragma once
#include <memory>
#include <unordered_map>

#include "cpu_ops.h"

namespace listwise::core::nn {

// CpuOps whose linear layers multiply whole numbers of 8 bits: weights with one scale for each
// output, symmetric; each row of activations with a scale and a zero of its own, found as it
// comes. Sums are exact; what lies between the layers is fp32. Forward only: the weights are
// turned into whole numbers at their first use and must not change.
class Int8Ops : public CpuOps {
 public:
  Int8Ops();
  ~Int8Ops() override;

  at::Tensor linear(const at::Tensor& x, const Linear& l) const override;
  at::Tensor linearActivate(const at::Tensor& x, const Linear& l, Activation kind) const override;

 private:
  struct Weights;
  const Weights& weightsOf(const at::Tensor& weight) const;
  at::Tensor multiply(const at::Tensor& x, const Linear& l, bool gelu) const;

  // By where the fp32 weights lie.
  mutable std::unordered_map<const void*, std::unique_ptr<Weights>> weights_;
};

}  // namespace listwise::core::nn
