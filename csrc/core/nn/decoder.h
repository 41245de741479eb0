#pragma once
#include <ATen/core/Tensor.h>

#include "ops.h"
#include "parameters.h"

namespace listwise::core::nn {

// The first step of T5's decoder (Raffel et al., arXiv:1910.10683) over the states of packed texts.
// Only forward: it scores, and is not trained.
class DecoderStep {
 public:
  DecoderStep(const EncoderSpec& spec, const Parameters& parameters, const Ops& ops)
      : spec_(spec), parameters_(parameters), ops_(ops) {}

  // fp32 [n, output ids]: the logits of spec.decoder.outputIds for each text, from the encoder's
  // last states [T, H].
  at::Tensor forward(const at::Tensor& states, const Packed& packed) const;

 private:
  at::Tensor weight(const char* name, int64_t layer) const;
  at::Tensor norm(const at::Tensor& x, const char* name, int64_t layer) const;
  at::Tensor crossAttention(const at::Tensor& x, const at::Tensor& states, const Packed& packed,
                            int64_t layer) const;
  at::Tensor feedForward(const at::Tensor& x, int64_t layer) const;

  const EncoderSpec& spec_;
  const Parameters& parameters_;
  const Ops& ops_;
};

}  // namespace listwise::core::nn
