#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "../architecture.h"
#include "packed.h"

namespace listwise::core::nn {

// What layer norm's backward pass needs besides its input.
struct NormStatistics {
  at::Tensor mean;  // [T]
  at::Tensor rstd;  // [T]
};

struct Linear {
  const at::Tensor& weight;  // [out, in]
  const at::Tensor& bias;    // [out], or undefined
};

// fp32 views of the flat gradient, undefined where the parameter is; backward passes add to them.
struct LinearGradient {
  at::Tensor weight;
  at::Tensor bias;
};

struct Norm {
  const at::Tensor& weight;  // [H]
  const at::Tensor& bias;    // [H], or undefined
  double eps;
  NormKind kind;
};

struct NormGradient {
  at::Tensor weight;
  at::Tensor bias;
};

// Rotary positions: cosine and sine of each position's angles, fp32 [L, headSize / 2]; undefined
// where positions are not rotary.
struct Rotary {
  at::Tensor cosine;
  at::Tensor sine;
};

// Which keys a query sees and how: what attention is told besides query, key and value.
struct Attention {
  const Packed& packed;
  int64_t heads;
  double scale;
  int64_t window;  // 0: every key of the text
  // fp32 [heads, 2L - 1] for texts of up to L tokens: added to a score by key - query + L - 1; or
  // undefined.
  const at::Tensor& bias;
  const Rotary& rotary;

  int64_t centre() const { return bias.defined() ? bias.size(1) / 2 : 0; }
};

// What attention's backward pass needs of its forward pass.
struct AttentionTrace {
  at::Tensor qkv;  // [T, 3A]
  at::Tensor lse;  // fp32, the log of each softmax's sum, in the implementation's own layout
  at::Tensor y;    // [T, A] what it gave
};

// The operations of a packed transformer, forward and backward, on [T, ...] matrices. Two
// implementations give the same numbers: PortableOps by library operations on any device and
// precision, CpuOps by fused fp32 kernels.
class Ops {
 public:
  virtual ~Ops() = default;

  // x W' + b
  virtual at::Tensor linear(const at::Tensor& x, const Linear& l) const = 0;
  // Adds to the gradient of W and b; returns the gradient of x.
  virtual at::Tensor linearBackward(const at::Tensor& dy, const at::Tensor& x, const Linear& l,
                                    const LinearGradient& gradient) const = 0;

  virtual at::Tensor activate(const at::Tensor& x, Activation kind) const = 0;
  // activate(linear(x)) where the value before the activation is not needed.
  virtual at::Tensor linearActivate(const at::Tensor& x, const Linear& l,
                                    Activation kind) const = 0;
  virtual at::Tensor activateBackward(const at::Tensor& dy, const at::Tensor& x,
                                      Activation kind) const = 0;

  // [T, I] of [T, 2I]: one half activated, times the other.
  virtual at::Tensor gate(const at::Tensor& x, Activation kind, FeedForward order) const = 0;
  virtual at::Tensor gateBackward(const at::Tensor& dy, const at::Tensor& x, Activation kind,
                                  FeedForward order) const = 0;

  // Norm of x + residual. `x` is overwritten by the sum, which the backward pass takes.
  virtual at::Tensor addNorm(at::Tensor& x, const at::Tensor& residual, const Norm& norm,
                             NormStatistics* statistics) const = 0;
  // The gradient of the sum. `dy` and `more` are added first, if `more` is defined.
  virtual at::Tensor normBackward(const at::Tensor& dy, const at::Tensor& more,
                                  const at::Tensor& sum, const NormStatistics& statistics,
                                  const std::pair<Norm, NormGradient>& norm) const = 0;

  // Turns query and key of each token, the first two thirds of qkv [T, 3A], by its position's
  // angles (Su et al., RoFormer, arXiv:2104.09864; pairs are a head's two halves), or back.
  virtual void rotate(at::Tensor& qkv, const Attention& how, bool back) const = 0;

  // Softmax attention within each text. qkv is [T, 3A] with A = heads x head size; returns [T, A]
  // and fills `lse`, if it is given.
  virtual at::Tensor attention(const at::Tensor& qkv, const Attention& how,
                               at::Tensor* lse) const = 0;
  // The gradient of qkv; adds to `dBias`, shaped as the bias, if there is one.
  virtual at::Tensor attentionBackward(const at::Tensor& dy, const AttentionTrace& trace,
                                       const Attention& how, at::Tensor& dBias) const = 0;

  // Rows of `table` added to x's rows: x[t] += table[rows[t]].
  virtual void addRows(at::Tensor& x, const at::Tensor& table, const at::Tensor& rows) const = 0;
  // table[rows[t]] += dx[t], in fp32.
  virtual void addRowsBackward(const at::Tensor& dx, const at::Tensor& rows,
                               at::Tensor tableGradient) const = 0;
};

// Whether a GPU computes, or the CPU as one would.
bool computesAsDevice(const EncoderSpec& spec);

// Int8Ops for int8, CpuOps for fp32 on the CPU, DeviceOps for CUDA, or what the spec asks for.
std::unique_ptr<Ops> makeOps(const EncoderSpec& spec);

}  // namespace listwise::core::nn
