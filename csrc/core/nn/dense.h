#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "parameters.h"

namespace listwise::core::nn {

// What the backward pass of one dense layer needs.
struct DenseTrace {
  at::Tensor x;  // [n, inputs]
  at::Tensor z;  // [n, outputs] before the activation
};

// sentence-transformers' Dense modules, one after the other, on pooled rows: always fp32, with the
// master weights.
class DenseLayers {
 public:
  DenseLayers(const EncoderSpec& spec, const Parameters& parameters)
      : spec_(spec), parameters_(parameters) {}

  // [n, outputs of the last one]; fills `traces`, one a layer, if given.
  at::Tensor forward(at::Tensor x, std::vector<DenseTrace>* traces) const;
  // Adds to `gradient`, flat like the weights; returns the gradient of the pooled rows.
  at::Tensor backward(at::Tensor dy, const std::vector<DenseTrace>& traces,
                      const at::Tensor& gradient) const;

 private:
  const EncoderSpec& spec_;
  const Parameters& parameters_;
};

}  // namespace listwise::core::nn
