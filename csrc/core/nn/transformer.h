#pragma once
#include <ATen/core/Tensor.h>

#include <utility>
#include <vector>

#include "ops.h"
#include "parameters.h"
#include "relations.h"

namespace listwise::core::nn {

// What one block's backward pass needs of its forward pass. The activation's output is not kept: it
// is cheap to compute again. After its attention the last block has the rows alone that were asked
// for, in the place of T.
struct BlockTrace {
  at::Tensor x;  // [T, H] attention's input
  AttentionTrace attention;
  at::Tensor sum1;  // [T, H] before the norm that follows attention
  NormStatistics norm1;
  at::Tensor middle;  // [T, H] after it: the feed-forward's input
  at::Tensor inner;   // [T, I or 2I] before the activation
  at::Tensor sum2;    // [T, H] before the norm that follows the feed-forward
  NormStatistics norm2;
};

struct Trace {
  Relations relations;
  at::Tensor rows;  // the tokens whose last states were asked for, or undefined: all
  at::Tensor sum;   // [T, H] embeddings before the first norm
  NormStatistics norm;
  std::vector<BlockTrace> blocks;
};

// What goes from one half of a block to the next: its input, and what its output will be added to.
// They are one where norms come after, and differ by a norm where they come before. Also used for
// the gradients of both, of which that of `residual` may be undefined: nothing.
struct Stream {
  at::Tensor x;
  at::Tensor residual;
};

// The packed transformer: token ids to last hidden states, and back. Holds no state of its own.
class Transformer {
 public:
  Transformer(const Architecture& architecture, const Parameters& parameters, const Ops& ops)
      : architecture_(architecture), parameters_(parameters), ops_(ops) {}

  // What a forward pass is for: `trace` is filled if given; without one, operations are fused that
  // give what a trace would have to hold, unless they are told not to be.
  struct Keeping {
    Trace* trace = nullptr;
    bool unfused = false;
  };
  // The last states [n, H] of the tokens `rows` [n], or of all [T, H] where it is undefined.
  at::Tensor forward(const Packed& packed, const at::Tensor& rows, Keeping keeping) const;
  // Of what forward gave. Adds to `gradient`, flat like Parameters::master; uses the trace up.
  void backward(at::Tensor dHidden, const Packed& packed, Trace& trace,
                const at::Tensor& gradient) const;

  // Bytes of a trace for each token, where the states of all are asked for.
  int64_t traceBytesPerToken() const;
  // Bytes of the trace of so many tokens, of which the states of `rows` are asked for.
  int64_t traceBytes(int64_t tokens, int64_t rows) const;
  // Bytes for each token that a backward pass takes beside the trace; a forward pass takes less.
  int64_t workBytesPerToken() const;
  // What a micro-batch of so many tokens takes, trace and backward pass.
  int64_t microBatchBytes(int64_t tokens) const {
    return tokens * (traceBytesPerToken() + workBytesPerToken());
  }

 private:
  // A parameter's key and layer.
  using Place = std::pair<const char*, int64_t>;
  // The norm of an output and what it is added to.
  struct NormStep {
    Place place;
    bool isNormed;  // the next residual is what comes out of the norm, not what goes in
    at::Tensor* sum;
    NormStatistics* statistics;
  };
  struct BlockKeeping {
    BlockTrace* trace;
    bool unfused;
  };
  struct AttentionStep {
    Attention how;
    int64_t layer;
    at::Tensor rows;  // those that go on, or undefined: all
  };

  Stream embed(const Packed& packed, Trace* trace) const;
  // The tokens whose states are asked for after the layer's attention.
  at::Tensor rowsAfter(int64_t layer, const at::Tensor& rows) const;
  Stream attend(const Stream& in, const AttentionStep& step, BlockTrace* trace) const;
  at::Tensor activate(const at::Tensor& inner) const;
  Stream feedForward(const Stream& in, int64_t layer, BlockKeeping keeping) const;
  Stream join(at::Tensor output, const at::Tensor& residual, const NormStep& step) const;
  at::Tensor joinBackward(const Stream& d, const NormStep& step, const at::Tensor& gradient) const;
  Stream feedForwardBackward(const Stream& d, int64_t layer, BlockTrace& trace,
                             const at::Tensor& gradient) const;
  Stream attendBackward(const Stream& d, const AttentionStep& step, BlockTrace& trace,
                        const at::Tensor& gradient, at::Tensor& dBias) const;
  void embedBackward(const Stream& d, const Packed& packed, Trace& trace,
                     const at::Tensor& gradient) const;

  bool isNormAfter() const { return architecture_.normPlace == NormPlace::After; }
  // Whether embeddings have a norm of their own; if not, the first layer's comes first.
  bool isNormedFirst() const { return parameters_.view("embeddings.norm.weight").defined(); }
  Place firstNorm() const;
  Place normAfterAttention(int64_t layer) const;
  Place normAfterFeedForward(int64_t layer) const;
  Attention attention(const Packed& packed, const Relations& relations, int64_t layer) const;
  Linear linear(const char* name, int64_t layer) const;
  LinearGradient linearGradient(Place place, const at::Tensor& gradient) const;

  const Architecture& architecture_;
  const Parameters& parameters_;
  const Ops& ops_;
};

}  // namespace listwise::core::nn
