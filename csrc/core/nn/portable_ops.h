#pragma once
#include "ops.h"

namespace listwise::core::nn {

// Library operations throughout: every device and precision, and the reference for the fused
// kernels. Attention goes text by text.
class PortableOps : public Ops {
 public:
  at::Tensor linear(const at::Tensor& x, const Linear& l) const override;
  at::Tensor linearBackward(const at::Tensor& dy, const at::Tensor& x, const Linear& l,
                            const LinearGradient& gradient) const override;
  at::Tensor activate(const at::Tensor& x, Activation kind) const override;
  at::Tensor linearActivate(const at::Tensor& x, const Linear& l, Activation kind) const override;
  at::Tensor activateBackward(const at::Tensor& dy, const at::Tensor& x,
                              Activation kind) const override;
  at::Tensor gate(const at::Tensor& x, Activation kind, FeedForward order) const override;
  at::Tensor gateBackward(const at::Tensor& dy, const at::Tensor& x, Activation kind,
                          FeedForward order) const override;
  at::Tensor addNorm(at::Tensor& x, const at::Tensor& residual, const Norm& norm,
                     NormStatistics* statistics) const override;
  at::Tensor normBackward(const at::Tensor& dy, const at::Tensor& more, const at::Tensor& sum,
                          const NormStatistics& statistics,
                          const std::pair<Norm, NormGradient>& norm) const override;
  void rotate(at::Tensor& qkv, const Attention& how, bool back) const override;
  at::Tensor attention(const at::Tensor& qkv, const Attention& how, at::Tensor* lse) const override;
  at::Tensor attentionBackward(const at::Tensor& dy, const AttentionTrace& trace,
                               const Attention& how, at::Tensor& dBias) const override;
  void addRows(at::Tensor& x, const at::Tensor& table, const at::Tensor& rows) const override;
  void addRowsBackward(const at::Tensor& dx, const at::Tensor& rows,
                       at::Tensor tableGradient) const override;
};

}  // namespace listwise::core::nn
