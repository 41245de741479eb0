#pragma once
#include "ops.h"

namespace listwise::core::nn {

// Flash attention (Dao, arXiv:2307.08691) over packed texts, as libtorch's CUDA builds bring it.

// Whether it computes this: bf16 on a GPU of compute capability 8 or more, heads of at most 256
// numbers and a multiple of 8, no bias.
bool canFlash(const at::Tensor& qkv, const Attention& how);

// As Ops::attention; `lse` is in flash attention's own layout.
at::Tensor flashAttention(const at::Tensor& qkv, const Attention& how, at::Tensor* lse);
at::Tensor flashAttentionBackward(const at::Tensor& dy, const AttentionTrace& trace,
                                  const Attention& how);

}  // namespace listwise::core::nn
