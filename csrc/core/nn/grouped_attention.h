#pragma once
#include "ops.h"

namespace listwise::core::nn {

// Attention by library operations over groups of texts of similar length, padded to the longest of
// the group: for GPUs and models that flash attention does not serve. As Ops::attention.
at::Tensor groupedAttention(const at::Tensor& qkv, const Attention& how, at::Tensor* lse);
at::Tensor groupedAttentionBackward(const at::Tensor& dy, const AttentionTrace& trace,
                                    const Attention& how, at::Tensor& dBias);

}  // namespace listwise::core::nn
