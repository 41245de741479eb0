#pragma once
#include "portable_ops.h"

namespace listwise::core::nn {

// What a GPU runs, in fp32 and bf16: library products, fused work on rows (kernels/row_jobs.h),
// flash attention over packed texts where the device and the build have it, else attention over
// groups of texts of similar length. On the CPU the same rows are worked on by the same code, so
// that all of it but the launches and flash attention is tested without a GPU.
class DeviceOps : public PortableOps {
 public:
  at::Tensor linearActivate(const at::Tensor& x, const Linear& l, Activation kind) const override;
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
};

}  // namespace listwise::core::nn
