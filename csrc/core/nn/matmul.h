#pragma once
#include <ATen/core/Tensor.h>

namespace listwise::core::nn {

// Matrix products in fp32 on the CPU. libtorch has two ways: MKL behind mm and addmm, and oneDNN
// behind mkldnn::_linear_pointwise. oneDNN uses AVX-512 on every processor that has it, MKL on
// Intel's only: on an AMD EPYC (Zen 5) it is 2.3 times as fast; elsewhere they are equal. Where a
// build has no oneDNN, addmm is used.

// a b' [+ bias]: a [m, k], b [n, k]. Either may be a transposed view.
at::Tensor matmulTransposed(const at::Tensor& a, const at::Tensor& b, const at::Tensor& bias = {});

// gelu(a b' + bias), exact (erf).
at::Tensor matmulTransposedGelu(const at::Tensor& a, const at::Tensor& b, const at::Tensor& bias);

}  // namespace listwise::core::nn
