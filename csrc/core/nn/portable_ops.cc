#include "portable_ops.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/native_layer_norm.h>
#include <ATen/ops/native_layer_norm_backward.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/threshold_backward.h>
#include <ATen/ops/zeros.h>

#include <cmath>

namespace listwise::core::nn {
namespace {

const char* approximation(Activation kind) {
  return kind == Activation::GeluTanh ? "tanh" : "none";
}

// [length, H] columns of one text seen as [heads, length, H / heads].
at::Tensor headsOf(const at::Tensor& rows, int64_t heads) {
  return rows.view({rows.size(0), heads, rows.size(1) / heads}).transpose(0, 1);
}

struct TextAttention {
  at::Tensor q, k, v, scores;
};

TextAttention scoresOf(const at::Tensor& qkv, int64_t heads) {
  const int64_t hidden = qkv.size(1) / 3;
  const auto part = [&](int64_t i) {
    return headsOf(qkv.narrow(1, i * hidden, hidden).contiguous(), heads);
  };
  TextAttention a{part(0), part(1), part(2), {}};
  const double scale = 1.0 / std::sqrt(static_cast<double>(hidden / heads));
  a.scores = at::matmul(a.q * scale, a.k.transpose(1, 2)).to(at::kFloat);
  return a;
}

at::Tensor merged(const at::Tensor& perHead) {
  return perHead.transpose(0, 1).reshape({perHead.size(1), perHead.size(0) * perHead.size(2)});
}

}  // namespace

at::Tensor PortableOps::linear(const at::Tensor& x, const Linear& l) const {
  return at::addmm(l.bias, x, l.weight.t());
}

at::Tensor PortableOps::linearBackward(const at::Tensor& dy, const at::Tensor& x, const Linear& l,
                                       const LinearGradient& gradient) const {
  gradient.weight.add_(at::mm(dy.t(), x));
  gradient.bias.add_(dy.sum(0, false, at::kFloat));
  return at::mm(dy, l.weight);
}

at::Tensor PortableOps::activate(const at::Tensor& x, Activation kind) const {
  return kind == Activation::Relu ? at::relu(x) : at::gelu(x, approximation(kind));
}

at::Tensor PortableOps::linearActivate(const at::Tensor& x, const Linear& l,
                                       Activation kind) const {
  return activate(linear(x, l), kind);
}

at::Tensor PortableOps::activateBackward(const at::Tensor& dy, const at::Tensor& x,
                                         Activation kind) const {
  return kind == Activation::Relu ? at::threshold_backward(dy, x, 0)
                                  : at::gelu_backward(dy, x, approximation(kind));
}

at::Tensor PortableOps::addNorm(at::Tensor& x, const at::Tensor& residual, const Norm& norm,
                                NormStatistics* statistics) const {
  x.add_(residual);
  auto [y, mean, rstd] = at::native_layer_norm(x, {x.size(1)}, norm.weight, norm.bias, norm.eps);
  if (statistics != nullptr) *statistics = {mean, rstd};
  return y;
}

at::Tensor PortableOps::normBackward(const at::Tensor& dy, const at::Tensor& more,
                                     const at::Tensor& sum, const NormStatistics& statistics,
                                     const std::pair<Norm, NormGradient>& norm) const {
  const auto& [parameters, gradient] = norm;
  auto [dx, dWeight, dBias] = at::native_layer_norm_backward(
      more.defined() ? dy + more : dy, sum, {sum.size(1)}, statistics.mean, statistics.rstd,
      parameters.weight, parameters.bias, {true, true, true});
  gradient.weight.add_(dWeight);
  gradient.bias.add_(dBias);
  return dx;
}

at::Tensor PortableOps::attention(const at::Tensor& qkv, const Packed& packed, int64_t heads,
                                  at::Tensor* lse) const {
  const int64_t hidden = qkv.size(1) / 3;
  auto y = at::empty({qkv.size(0), hidden}, qkv.options());
  if (lse != nullptr) *lse = at::empty({heads, qkv.size(0)}, qkv.options().dtype(at::kFloat));
  for (int64_t i = 0; i < packed.count(); ++i) {
    const int64_t start = packed.offsets[i];
    const int64_t length = packed.offsets[i + 1] - start;
    const auto a = scoresOf(qkv.narrow(0, start, length), heads);
    const auto p = at::softmax(a.scores, -1).to(qkv.scalar_type());
    y.narrow(0, start, length).copy_(merged(at::matmul(p, a.v)));
    if (lse != nullptr) lse->narrow(1, start, length).copy_(a.scores.logsumexp(-1));
  }
  return y;
}

at::Tensor PortableOps::attentionBackward(
    const at::Tensor& dy, const at::Tensor& qkv, const at::Tensor& y, const at::Tensor& lse,
    const std::pair<const Packed&, int64_t>& packedAndHeads) const {
  const auto& [packed, heads] = packedAndHeads;
  const int64_t hidden = y.size(1);
  const double scale = 1.0 / std::sqrt(static_cast<double>(hidden / heads));
  auto dQkv = at::empty_like(qkv);
  for (int64_t i = 0; i < packed.count(); ++i) {
    const int64_t start = packed.offsets[i];
    const int64_t length = packed.offsets[i + 1] - start;
    const auto rows = [&](const at::Tensor& all) { return all.narrow(0, start, length); };
    const auto a = scoresOf(rows(qkv), heads);
    const auto d = headsOf(rows(dy), heads);
    const auto p = (a.scores - lse.narrow(1, start, length).unsqueeze(-1)).exp();
    const auto delta = (d * headsOf(rows(y), heads)).sum(-1, true, at::kFloat);
    const auto dScores = (p * (at::matmul(d, a.v.transpose(1, 2)).to(at::kFloat) - delta))
                             .mul_(scale)
                             .to(qkv.scalar_type());
    auto out = rows(dQkv);
    out.narrow(1, 0, hidden).copy_(merged(at::matmul(dScores, a.k)));
    out.narrow(1, hidden, hidden).copy_(merged(at::matmul(dScores.transpose(1, 2), a.q)));
    out.narrow(1, 2 * hidden, hidden)
        .copy_(merged(at::matmul(p.to(qkv.scalar_type()).transpose(1, 2), d)));
  }
  return dQkv;
}

void PortableOps::addRows(at::Tensor& x, const at::Tensor& table, const at::Tensor& rows) const {
  x.add_(table.index_select(0, rows));
}

void PortableOps::addRowsBackward(const at::Tensor& dx, const at::Tensor& rows,
                                  at::Tensor tableGradient) const {
  tableGradient.index_add_(0, rows, dx.to(at::kFloat));
}

at::Tensor PortableOps::pool(const at::Tensor& x, const Packed& packed, Pooling pooling) const {
  if (pooling == Pooling::FirstToken) return x.index_select(0, packed.starts).to(at::kFloat);
  auto sums = at::zeros({packed.count(), x.size(1)}, x.options().dtype(at::kFloat));
  sums.index_add_(0, packed.texts, x.to(at::kFloat));
  return sums.div_(packed.lengths.unsqueeze(1));
}

at::Tensor PortableOps::poolBackward(const at::Tensor& dy, const Packed& packed, Pooling pooling,
                                     at::ScalarType type) const {
  if (pooling == Pooling::Mean) {
    return (dy / packed.lengths.unsqueeze(1)).index_select(0, packed.texts).to(type);
  }
  auto dx = at::zeros({packed.tokens(), dy.size(1)}, dy.options().dtype(type));
  return dx.index_copy_(0, packed.starts, dy.to(type));
}

}  // namespace listwise::core::nn
