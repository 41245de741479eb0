#pragma once
#include <ATen/core/Tensor.h>

#include "encoder.h"
#include "nn/decoder.h"
#include "nn/dense.h"
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
  at::Tensor chosen;  // by pooling with Pooling::Max
  std::vector<nn::DenseTrace> dense;
  at::Tensor embeddings;  // [n, dimension] of unit length, where they were normalised
  at::Tensor lengths;     // [n, 1] before
};

struct Encoder::Impl {
  explicit Impl(const EncoderSpec& s)
      : spec(s),
        parameters(s),
        ops(nn::makeOps(s)),
        transformer(spec.architecture, parameters, *ops),
        dense(spec, parameters),
        decoder(spec, parameters, *ops) {}

  // fp32 [n, dimension] for the texts of a micro-batch, in its order; fills `trace` if given.
  at::Tensor embed(const JoinedTexts& texts, const MicroBatch& batch, const EncodeOptions& options,
                   EmbeddingTrace* trace) const;
  // Adds to `gradient`; `dEmbeddings` is the gradient of what embed returned.
  void embedBackward(const at::Tensor& dEmbeddings, Pooling pooling, EmbeddingTrace& trace,
                     const at::Tensor& gradient) const;

  // The transformer (-1) or a dense layer, whose names have its key before them where files are
  // joined.
  struct FilePart {
    int64_t dense;
    bool isJoined;
  };
  void saveParts(const std::string& file, const std::vector<FilePart>& parts) const;

  at::Device device() const { return at::Device(spec.device); }

  const EncoderSpec spec;
  nn::Parameters parameters;
  std::unique_ptr<nn::Ops> ops;
  nn::Transformer transformer;
  nn::DenseLayers dense;
  nn::DecoderStep decoder;
  std::vector<std::unique_ptr<SafetensorsFile>> files;
  // One for each dense layer; null where its weights are in the files above.
  std::vector<std::unique_ptr<SafetensorsFile>> denseFiles;
};

}  // namespace listwise::core
