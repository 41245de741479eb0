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
  const at::Tensor& bias;    // [out]
};

// fp32 views of the flat gradient; backward passes add to them.
struct LinearGradient {
  at::Tensor weight;
  at::Tensor bias;
};

struct Norm {
  const at::Tensor& weight;  // [H]
  const at::Tensor& bias;    // [H]
  double eps;
};

struct NormGradient {
  at::Tensor weight;
  at::Tensor bias;
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

  // Layer norm of x + residual. `x` is overwritten by the sum, which the backward pass takes.
  virtual at::Tensor addNorm(at::Tensor& x, const at::Tensor& residual, const Norm& norm,
                             NormStatistics* statistics) const = 0;
  // The gradient of the sum. `dy` and `more` are added first, if `more` is defined.
  virtual at::Tensor normBackward(const at::Tensor& dy, const at::Tensor& more,
                                  const at::Tensor& sum, const NormStatistics& statistics,
                                  const std::pair<Norm, NormGradient>& norm) const = 0;

  // Softmax attention within each text. qkv is [T, 3H]; returns [T, H] and fills `lse`, the log of
  // each softmax's sum, if it is given.
  virtual at::Tensor attention(const at::Tensor& qkv, const Packed& packed, int64_t heads,
                               at::Tensor* lse) const = 0;
  // The gradient of qkv.
  virtual at::Tensor attentionBackward(
      const at::Tensor& dy, const at::Tensor& qkv, const at::Tensor& y, const at::Tensor& lse,
      const std::pair<const Packed&, int64_t>& packedAndHeads) const = 0;

  // Rows of `table` added to x's rows: x[t] += table[rows[t]].
  virtual void addRows(at::Tensor& x, const at::Tensor& table, const at::Tensor& rows) const = 0;
  // table[rows[t]] += dx[t], in fp32.
  virtual void addRowsBackward(const at::Tensor& dx, const at::Tensor& rows,
                               at::Tensor tableGradient) const = 0;

  // One fp32 row a text: the mean of its tokens or the first one.
  virtual at::Tensor pool(const at::Tensor& x, const Packed& packed, Pooling pooling) const = 0;
  virtual at::Tensor poolBackward(const at::Tensor& dy, const Packed& packed, Pooling pooling,
                                  at::ScalarType type) const = 0;
};

// Int8Ops for int8, CpuOps for fp32 on the CPU unless `portable`, PortableOps for the rest.
std::unique_ptr<Ops> makeOps(const EncoderSpec& spec);

}  // namespace listwise::core::nn
