#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "ops.h"
#include "parameters.h"

namespace listwise::core::nn {

// What one block's backward pass needs of its forward pass. The activation's output is not kept: it
// is cheap to compute again.
struct BlockTrace {
  at::Tensor x;        // [T, H] the block's input
  at::Tensor qkv;      // [T, 3H]
  at::Tensor lse;      // [heads, T]
  at::Tensor context;  // [T, H] attention's output
  at::Tensor sum1;     // [T, H] before the first norm
  NormStatistics norm1;
  at::Tensor middle;  // [T, H] after the first norm
  at::Tensor inner;   // [T, I] before the activation
  at::Tensor sum2;    // [T, H] before the second norm
  NormStatistics norm2;
};

struct Trace {
  at::Tensor sum;  // [T, H] embeddings before their norm
  NormStatistics norm;
  std::vector<BlockTrace> blocks;
};

// The packed transformer: token ids to last hidden states, and back. Holds no state of its own.
class Transformer {
 public:
  Transformer(const Architecture& architecture, const Parameters& parameters, const Ops& ops)
      : architecture_(architecture), parameters_(parameters), ops_(ops) {}

  // [T, H]; fills `trace` if given.
  at::Tensor forward(const Packed& packed, Trace* trace) const;
  // Adds to `gradient`, flat like Parameters::master; uses the trace up.
  void backward(at::Tensor dHidden, const Packed& packed, Trace& trace,
                const at::Tensor& gradient) const;

  // Bytes of a trace for each token.
  int64_t traceBytesPerToken() const;
  // Bytes for each token that a backward pass takes beside the trace; a forward pass takes less.
  int64_t workBytesPerToken() const;

 private:
  at::Tensor embed(const Packed& packed, Trace* trace) const;
  at::Tensor block(const at::Tensor& x, const Packed& packed, int64_t layer,
                   BlockTrace* trace) const;
  at::Tensor feedForward(const at::Tensor& middle, int64_t layer, BlockTrace* trace) const;
  at::Tensor blockBackward(const at::Tensor& dy, const Packed& packed, int64_t layer,
                           BlockTrace& trace, const at::Tensor& gradient) const;
  void embedBackward(const at::Tensor& dx, const Packed& packed, Trace& trace,
                     const at::Tensor& gradient) const;

  Linear linear(const char* name, int64_t layer) const;
  LinearGradient linearGradient(const char* name, int64_t layer, const at::Tensor& gradient) const;
  Norm norm(const char* name, int64_t layer) const;
  std::pair<Norm, NormGradient> normWithGradient(const char* name, int64_t layer,
                                                 const at::Tensor& gradient) const;

  const Architecture& architecture_;
  const Parameters& parameters_;
  const Ops& ops_;
};

}  // namespace listwise::core::nn
