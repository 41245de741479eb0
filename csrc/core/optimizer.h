#pragma once
#include <ATen/core/Tensor.h>

#include <string>

#include "optimizer_options.h"

namespace listwise::core {

// AdamW (Loshchilov and Hutter, arXiv:1711.05101) over one flat tensor of weights.
class Optimizer {
 public:
  explicit Optimizer(const OptimizerOptions& options) : options_(options) {}

  // Clips the gradient in place, then moves the weights against it. Returns the gradient's length
  // before clipping. Throws NOT_FINITE where that is not finite, with the weights as they were, and
  // where the new weights are not.
  double step(at::Tensor& weights, at::Tensor& gradient, double learningRate);

  int64_t steps() const { return steps_; }
  // Throws INVALID_ARGUMENT before the first step: there is nothing to save.
  void save(const std::string& file) const;
  // Throws BAD_MODEL if the file's moments are not of this model's size.
  void load(const std::string& file, const at::Tensor& weights);

  // Makes the moments, 0 each, unless they are there.
  void makeMoments(const at::Tensor& weights);
  int64_t momentBytes() const { return first_.defined() ? 8 * first_.numel() : 0; }

 private:
  const OptimizerOptions options_;
  at::Tensor first_;  // moments, flat like the weights; made by the first step or load
  at::Tensor second_;
  at::Tensor count_;  // steps, as the fused kernel wants it
  int64_t steps_ = 0;
};

}  // namespace listwise::core
