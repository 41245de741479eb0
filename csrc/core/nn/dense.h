#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "parameters.h"

namespace listwise::core::nn {

// What the backward pass of one dense layer needs.
struct DenseTrace {
  at::Tensor x;  // [n, inputs]
  at::Tensor z;  // [n, outputs] before the activation
  // Of the layer's norm, if it has one.
  at::Tensor mean = {}, rstd = {};
};

// sentence-transformers' Dense modules or a cross-encoder's head, layer after layer on pooled rows:
// always fp32, with the master weights.
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
  at::Tensor own(size_t layer, const char* part) const;
  at::Tensor normBackward(const at::Tensor& dy, size_t layer, const DenseTrace& trace,
                          const at::Tensor& gradient) const;
  const EncoderSpec& spec_;
  const Parameters& parameters_;
};

}  // namespace listwise::core::nn
