#include "portable_ops.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/native_layer_norm.h>
#include <ATen/ops/native_layer_norm_backward.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/silu_backward.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/threshold_backward.h>

#include <limits>
#include <optional>

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
  at::Tensor distances;  // key - query of each score, one after the other, from 0 for the least
};

TextAttention scoresOf(const at::Tensor& qkv, const Attention& how) {
  const int64_t width = qkv.size(1) / 3, length = qkv.size(0);
  const auto part = [&](int64_t i) {
    return headsOf(qkv.narrow(1, i * width, width).contiguous(), how.heads);
  };
  TextAttention a{part(0), part(1), part(2), {}, {}};
  a.scores = at::matmul(a.q * how.scale, a.k.transpose(1, 2)).to(at::kFloat);
  if (how.window == 0 && !how.bias.defined()) return a;
  const auto places = at::arange(length, qkv.options().dtype(at::kLong));
  const auto apart = places.unsqueeze(0) - places.unsqueeze(1);
  if (how.bias.defined()) {
    a.distances = (apart + how.centre()).reshape({-1});
    a.scores.add_(how.bias.index_select(1, a.distances).view(a.scores.sizes()));
  }
  if (how.window > 0) {
    a.scores.masked_fill_(apart.abs() > how.window, -std::numeric_limits<float>::infinity());
  }
  return a;
}

at::Tensor merged(const at::Tensor& perHead) {
  return perHead.transpose(0, 1).reshape({perHead.size(1), perHead.size(0) * perHead.size(2)});
}

std::optional<at::Tensor> given(const at::Tensor& t) {
  return t.defined() ? std::optional<at::Tensor>(t) : std::nullopt;
}

// What is activated, and what it is multiplied by.
std::pair<at::Tensor, at::Tensor> halvesOf(const at::Tensor& x, FeedForward order) {
  const int64_t half = x.size(1) / 2;
  auto first = x.narrow(1, 0, half), second = x.narrow(1, half, half);
  return order == FeedForward::GatedByFirst ? std::pair{first, second} : std::pair{second, first};
}

}  // namespace

at::Tensor PortableOps::linear(const at::Tensor& x, const Linear& l) const {
  return l.bias.defined() ? at::addmm(l.bias, x, l.weight.t()) : at::mm(x, l.weight.t());
}

at::Tensor PortableOps::linearBackward(const at::Tensor& dy, const at::Tensor& x, const Linear& l,
                                       const LinearGradient& gradient) const {
  gradient.weight.add_(at::mm(dy.t(), x));
  if (gradient.bias.defined()) gradient.bias.add_(dy.sum(0, false, at::kFloat));
  return at::mm(dy, l.weight);
}

at::Tensor PortableOps::activate(const at::Tensor& x, Activation kind) const {
  if (kind == Activation::Relu) return at::relu(x);
  if (kind == Activation::Silu) return at::silu(x);
  return at::gelu(x, approximation(kind));
}

at::Tensor PortableOps::linearActivate(const at::Tensor& x, const Linear& l,
                                       Activation kind) const {
  return activate(linear(x, l), kind);
}

at::Tensor PortableOps::activateBackward(const at::Tensor& dy, const at::Tensor& x,
                                         Activation kind) const {
  if (kind == Activation::Relu) return at::threshold_backward(dy, x, 0);
  if (kind == Activation::Silu) return at::silu_backward(dy, x);
  return at::gelu_backward(dy, x, approximation(kind));
}

at::Tensor PortableOps::gate(const at::Tensor& x, Activation kind, FeedForward order) const {
  const auto [activated, factor] = halvesOf(x, order);
  return PortableOps::activate(activated, kind) * factor;
}

at::Tensor PortableOps::gateBackward(const at::Tensor& dy, const at::Tensor& x, Activation kind,
                                     FeedForward order) const {
  const auto [activated, factor] = halvesOf(x, order);
  auto dx = at::empty_like(x);
  const auto [dActivated, dFactor] = halvesOf(dx, order);
  dActivated.copy_(PortableOps::activateBackward(dy * factor, activated, kind));
  dFactor.copy_(dy * PortableOps::activate(activated, kind));
  return dx;
}

at::Tensor PortableOps::addNorm(at::Tensor& x, const at::Tensor& residual, const Norm& norm,
                                NormStatistics* statistics) const {
  x.add_(residual);
  if (norm.kind == NormKind::Rms) {
    const auto wide = x.to(at::kFloat);
    auto rstd = (wide * wide).mean(1).add_(norm.eps).rsqrt_();
    auto y = (wide * rstd.unsqueeze(1)).to(x.scalar_type()) * norm.weight;
    if (statistics != nullptr) *statistics = {{}, rstd};
    return y;
  }
  auto [y, mean, rstd] =
      at::native_layer_norm(x, {x.size(1)}, norm.weight, given(norm.bias), norm.eps);
  if (statistics != nullptr) *statistics = {mean, rstd};
  return y;
}

at::Tensor PortableOps::normBackward(const at::Tensor& dy, const at::Tensor& more,
                                     const at::Tensor& sum, const NormStatistics& statistics,
                                     const std::pair<Norm, NormGradient>& norm) const {
  const auto& [parameters, gradient] = norm;
  const auto d = more.defined() ? dy + more : dy;
  if (parameters.kind == NormKind::Rms) {
    const auto rstd = statistics.rstd.unsqueeze(1);
    const auto normal = sum.to(at::kFloat) * rstd, wide = d.to(at::kFloat);
    gradient.weight.add_((wide * normal).sum(0));
    const auto scaled = wide * parameters.weight;
    return (rstd * (scaled - normal * (scaled * normal).mean(1, true))).to(dy.scalar_type());
  }
  const bool biased = parameters.bias.defined();
  auto [dx, dWeight, dBias] = at::native_layer_norm_backward(
      d, sum, {sum.size(1)}, statistics.mean, statistics.rstd, parameters.weight,
      given(parameters.bias), {true, true, biased});
  gradient.weight.add_(dWeight);
  if (biased) gradient.bias.add_(dBias);
  return dx;
}

void PortableOps::rotate(at::Tensor& qkv, const Attention& how, bool back) const {
  const auto& rotary = how.rotary;
  const int64_t half = rotary.cosine.size(1), width = qkv.size(1) / 3;
  const auto cosine = rotary.cosine.index_select(0, how.packed.positions).unsqueeze(1);
  auto sine = rotary.sine.index_select(0, how.packed.positions).unsqueeze(1);
  if (back) sine = sine.neg();
  auto heads = qkv.narrow(1, 0, 2 * width).view({qkv.size(0), width / half, 2 * half});
  const auto first = heads.narrow(2, 0, half).to(at::kFloat, false, true);
  const auto second = heads.narrow(2, half, half).to(at::kFloat, false, true);
  heads.narrow(2, 0, half).copy_(first * cosine - second * sine);
  heads.narrow(2, half, half).copy_(second * cosine + first * sine);
}

at::Tensor PortableOps::attention(const at::Tensor& qkv, const Attention& how,
                                  at::Tensor* lse) const {
  const int64_t width = qkv.size(1) / 3;
  auto y = at::empty({qkv.size(0), width}, qkv.options());
  if (lse != nullptr) *lse = at::empty({how.heads, qkv.size(0)}, qkv.options().dtype(at::kFloat));
  for (int64_t i = 0; i < how.packed.count(); ++i) {
    const int64_t start = how.packed.offsets[i];
    const int64_t length = how.packed.offsets[i + 1] - start;
    const auto a = scoresOf(qkv.narrow(0, start, length), how);
    const auto p = at::softmax(a.scores, -1).to(qkv.scalar_type());
    y.narrow(0, start, length).copy_(merged(at::matmul(p, a.v)));
    if (lse != nullptr) lse->narrow(1, start, length).copy_(a.scores.logsumexp(-1));
  }
  return y;
}

at::Tensor PortableOps::attentionBackward(const at::Tensor& dy, const AttentionTrace& trace,
                                          const Attention& how, at::Tensor& dBias) const {
  const int64_t width = dy.size(1);
  auto dQkv = at::empty_like(trace.qkv);
  for (int64_t i = 0; i < how.packed.count(); ++i) {
    const int64_t start = how.packed.offsets[i];
    const int64_t length = how.packed.offsets[i + 1] - start;
    const auto rows = [&](const at::Tensor& all) { return all.narrow(0, start, length); };
    const auto a = scoresOf(rows(trace.qkv), how);
    const auto d = headsOf(rows(dy), how.heads);
    const auto p = (a.scores - trace.lse.narrow(1, start, length).unsqueeze(-1)).exp();
    const auto delta = (d * headsOf(rows(trace.y), how.heads)).sum(-1, true, at::kFloat);
    const auto raw = p * (at::matmul(d, a.v.transpose(1, 2)).to(at::kFloat) - delta);
    if (dBias.defined()) dBias.index_add_(1, a.distances, raw.view({how.heads, length * length}));
    const auto dScores = (raw * how.scale).to(dy.scalar_type());
    auto out = rows(dQkv);
    out.narrow(1, 0, width).copy_(merged(at::matmul(dScores, a.k)));
    out.narrow(1, width, width).copy_(merged(at::matmul(dScores.transpose(1, 2), a.q)));
    out.narrow(1, 2 * width, width)
        .copy_(merged(at::matmul(p.to(dy.scalar_type()).transpose(1, 2), d)));
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

}  // namespace listwise::core::nn
