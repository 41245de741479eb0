#pragma once
#include <ATen/core/Tensor.h>

#include <string>

#include "optimizer_options.h"

namespace listwise::core {

// AdamW (Loshchilov and Hutter, arXiv:1711.05101) over one flat tensor of weights.
class Optimizer {
 public:
  Optimizer(const at::Tensor& weights, const OptimizerOptions& options);

  // Clips the gradient in place, then moves the weights against it. Returns the gradient's length
  // before clipping. Where that is not finite, it throws NOT_FINITE and leaves the weights.
  double step(at::Tensor& weights, at::Tensor& gradient, double learningRate);

  int64_t steps() const { return steps_; }
  void save(const std::string& file) const;
  // Throws BAD_MODEL if the file's moments are not of this model's size.
  void load(const std::string& file);

 private:
  const OptimizerOptions options_;
  at::Tensor first_;  // moments, flat like the weights
  at::Tensor second_;
  at::Tensor count_;  // steps, as the fused kernel wants it
  int64_t steps_ = 0;
};

}  // namespace listwise::core
