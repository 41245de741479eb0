#pragma once
#include <ATen/core/Tensor.h>

#include "encoder.h"
#include "nn/ops.h"
#include "nn/packed.h"
#include "nn/parameters.h"
#include "nn/transformer.h"
#include "safetensors.h"

namespace listwise::core {

// What the backward pass of one micro-batch needs.
struct EmbeddingTrace {
  nn::Packed packed;
  nn::Trace transformer;
  at::Tensor embeddings;  // [n, H] of unit length
  at::Tensor lengths;     // [n, 1] of the pooled vectors before
};

struct Encoder::Impl {
  explicit Impl(const EncoderSpec& s)
      : spec(s),
        parameters(s),
        ops(nn::makeOps(s)),
        transformer(spec.architecture, parameters, *ops) {}

  // fp32 [n, H] for the texts of a micro-batch, in its order; fills `trace` if given.
  at::Tensor embed(const JoinedTexts& texts, const MicroBatch& batch, const EncodeOptions& options,
                   EmbeddingTrace* trace) const;
  // Adds to `gradient`; `dEmbeddings` is the gradient of what embed returned, of unit length.
  void embedBackward(const at::Tensor& dEmbeddings, Pooling pooling, EmbeddingTrace& trace,
                     const at::Tensor& gradient) const;

  at::Device device() const { return at::Device(spec.device); }

  const EncoderSpec spec;
  nn::Parameters parameters;
  std::unique_ptr<nn::Ops> ops;
  nn::Transformer transformer;
  std::vector<std::unique_ptr<SafetensorsFile>> files;
};

}  // namespace listwise::core
