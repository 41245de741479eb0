#include "cpu_ops.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include <atomic>

#include "../kernels/kernels.h"
#include "matmul.h"
#include "transpose.h"

namespace listwise::core::nn {
namespace {

constexpr int64_t rowGrain = 64;
constexpr int64_t numberGrain = 1 << 15;

const float* read(const at::Tensor& t) {
  return t.const_data_ptr<float>();
}
float* write(const at::Tensor& t) {
  return t.mutable_data_ptr<float>();
}

// Runs work(item) for every item, whichever thread is free next: items differ in size.
template <class Work>
void forEachItem(int64_t items, Work work) {
  std::atomic<int64_t> next{0};
  at::parallel_for(0, at::get_num_threads(), 1, [&](int64_t first, int64_t last) {
    for (int64_t thread = first; thread < last; ++thread) {
      for (int64_t item = next++; item < items; item = next++) work(item);
    }
  });
}

template <class Kernel, class Args>
void forEachHead(Kernel kernel, const Args& args, const Packed& packed,
                 kernels::AttentionShape shape) {
  forEachItem(packed.count() * shape.heads, [&](int64_t item) {
    const int64_t text = item / shape.heads;
    const int64_t start = packed.offsets[text];
    kernel(args, shape, {start, packed.offsets[text + 1] - start}, item % shape.heads);
  });
}

kernels::AttentionShape shapeOf(const Attention& how, int64_t tokens, int64_t width) {
  const bool biased = how.bias.defined();
  return {how.heads,
          width / how.heads,
          tokens,
          static_cast<float>(how.scale),
          how.window,
          biased ? read(how.bias) : nullptr,
          biased ? how.bias.size(1) : 0,
          how.centre()};
}

// The texts' own parts of the bias' gradient, added up in the order of the texts.
void addByDistance(const at::Tensor& byText, const Attention& how, const at::Tensor& dBias) {
  at::parallel_for(0, how.heads, 1, [&](int64_t first, int64_t last) {
    for (int64_t head = first; head < last; ++head) {
      for (int64_t text = 0; text < how.packed.count(); ++text) {
        const int64_t start = how.packed.offsets[text];
        const int64_t length = how.packed.offsets[text + 1] - start;
        const float* in = read(byText) + head * byText.size(1) + 2 * start;
        float* out = write(dBias) + head * dBias.size(1) + how.centre() - (length - 1);
        for (int64_t i = 0; i < 2 * length - 1; ++i) out[i] += in[i];
      }
    }
  });
}

}  // namespace

at::Tensor CpuOps::linear(const at::Tensor& x, const Linear& l) const {
  return matmulTransposed(x, l.weight, l.bias);
}

at::Tensor CpuOps::linearBackward(const at::Tensor& dy, const at::Tensor& x, const Linear& l,
                                  const LinearGradient& gradient) const {
  gradient.weight.add_(matmulTransposed(transposed(dy, gradient.bias), x.t()));
  return matmulTransposed(dy, l.weight.t());
}

at::Tensor CpuOps::activate(const at::Tensor& x, Activation kind) const {
  if (kind != Activation::Gelu) return PortableOps::activate(x, kind);
  auto y = at::empty_like(x);
  at::parallel_for(0, x.numel(), numberGrain, [&](int64_t first, int64_t last) {
    kernels::table().gelu(read(x) + first, write(y) + first, last - first);
  });
  return y;
}

at::Tensor CpuOps::linearActivate(const at::Tensor& x, const Linear& l, Activation kind) const {
  if (kind != Activation::Gelu) return PortableOps::linearActivate(x, l, kind);
  return matmulTransposedGelu(x, l.weight, l.bias);
}

at::Tensor CpuOps::activateBackward(const at::Tensor& dy, const at::Tensor& x,
                                    Activation kind) const {
  if (kind != Activation::Gelu) return PortableOps::activateBackward(dy, x, kind);
  auto dx = at::empty_like(x);
  at::parallel_for(0, x.numel(), numberGrain, [&](int64_t first, int64_t last) {
    kernels::table().geluBackward(read(x) + first, read(dy) + first, write(dx) + first,
                                  last - first);
  });
  return dx;
}

at::Tensor CpuOps::gate(const at::Tensor& x, Activation kind, FeedForward order) const {
  if (kind != Activation::Gelu) return PortableOps::gate(x, kind, order);
  const int64_t half = x.size(1) / 2, first = order == FeedForward::GatedByFirst ? 0 : half;
  auto y = at::empty({x.size(0), half}, x.options());
  at::parallel_for(0, x.size(0), rowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* row = read(x) + i * 2 * half;
      kernels::table().gatedGelu({row + first, row + half - first, write(y) + i * half}, half);
    }
  });
  return y;
}

at::Tensor CpuOps::gateBackward(const at::Tensor& dy, const at::Tensor& x, Activation kind,
                                FeedForward order) const {
  if (kind != Activation::Gelu) return PortableOps::gateBackward(dy, x, kind, order);
  const int64_t half = x.size(1) / 2, first = order == FeedForward::GatedByFirst ? 0 : half;
  auto dx = at::empty_like(x);
  at::parallel_for(0, x.size(0), rowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* row = read(x) + i * 2 * half;
      float* out = write(dx) + i * 2 * half;
      kernels::table().gatedGeluBackward(
          {row + first, row + half - first, read(dy) + i * half, out + first, out + half - first},
          half);
    }
  });
  return dx;
}

at::Tensor CpuOps::addNorm(at::Tensor& x, const at::Tensor& residual, const Norm& norm,
                           NormStatistics* statistics) const {
  const int64_t rows = x.size(0), columns = x.size(1);
  auto y = at::empty_like(x);
  NormStatistics s{at::empty({rows}, x.options()), at::empty({rows}, x.options())};
  const kernels::NormForward args{write(x),
                                  read(residual),
                                  residual.stride(0),
                                  read(norm.weight),
                                  norm.bias.defined() ? read(norm.bias) : nullptr,
                                  write(y),
                                  write(s.mean),
                                  write(s.rstd),
                                  static_cast<float>(norm.eps),
                                  norm.kind == NormKind::Layer};
  at::parallel_for(0, rows, rowGrain, [&](int64_t first, int64_t last) {
    kernels::table().addNorm(args, columns, first, last);
  });
  if (statistics != nullptr) *statistics = std::move(s);
  return y;
}

at::Tensor CpuOps::normBackward(const at::Tensor& dy, const at::Tensor& more, const at::Tensor& sum,
                                const NormStatistics& statistics,
                                const std::pair<Norm, NormGradient>& norm) const {
  const int64_t rows = dy.size(0), columns = dy.size(1);
  const auto& [parameters, gradient] = norm;
  auto dx = at::empty_like(dy);
  // Each share of the rows sums its own part of the gradient; the parts are added in order.
  const int64_t shares = at::get_num_threads(), share = (rows + shares - 1) / shares;
  auto parts = at::zeros({2, shares, columns}, dy.options());
  at::parallel_for(0, shares, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const kernels::NormBackward args{read(dy),
                                       more.defined() ? read(more) : nullptr,
                                       read(sum),
                                       read(statistics.mean),
                                       read(statistics.rstd),
                                       read(parameters.weight),
                                       write(dx),
                                       write(parts) + i * columns,
                                       write(parts) + (shares + i) * columns,
                                       parameters.kind == NormKind::Layer};
      kernels::table().normBackward(args, columns, std::min(rows, i * share),
                                    std::min(rows, (i + 1) * share));
    }
  });
  gradient.weight.add_(parts.select(0, 0).sum(0));
  if (gradient.bias.defined()) gradient.bias.add_(parts.select(0, 1).sum(0));
  return dx;
}

void CpuOps::rotate(at::Tensor& qkv, const Attention& how, bool back) const {
  const auto& rotary = how.rotary;
  const int64_t half = rotary.cosine.size(1), stride = qkv.size(1), width = stride / 3;
  const int64_t* position = how.packed.positions.const_data_ptr<int64_t>();
  const float sign = back ? -1 : 1;
  at::parallel_for(0, qkv.size(0), rowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* cosine = read(rotary.cosine) + position[i] * half;
      const float* sine = read(rotary.sine) + position[i] * half;
      float* row = write(qkv) + i * stride;
      for (float* head = row; head < row + 2 * width; head += 2 * half) {
        for (int64_t j = 0; j < half; ++j) {
          const float a = head[j], b = head[half + j], s = sign * sine[j];
          head[j] = a * cosine[j] - b * s;
          head[half + j] = b * cosine[j] + a * s;
        }
      }
    }
  });
}

at::Tensor CpuOps::attention(const at::Tensor& qkv, const Attention& how, at::Tensor* lse) const {
  const int64_t tokens = qkv.size(0), width = qkv.size(1) / 3;
  auto y = at::empty({tokens, width}, qkv.options());
  if (lse != nullptr) *lse = at::empty({how.heads, tokens}, qkv.options());
  const kernels::AttentionForward args{read(qkv), write(y), lse != nullptr ? write(*lse) : nullptr};
  forEachHead(kernels::table().attentionForward, args, how.packed, shapeOf(how, tokens, width));
  return y;
}

at::Tensor CpuOps::attentionBackward(const at::Tensor& dy, const AttentionTrace& trace,
                                     const Attention& how, at::Tensor& dBias) const {
  const int64_t tokens = dy.size(0);
  auto dQkv = at::empty_like(trace.qkv);
  const auto byText =
      dBias.defined() ? at::zeros({how.heads, 2 * tokens}, dy.options()) : at::Tensor();
  const kernels::AttentionBackward args{
      read(trace.qkv), read(trace.y), read(trace.lse),
      read(dy),        write(dQkv),   byText.defined() ? write(byText) : nullptr};
  forEachHead(kernels::table().attentionBackward, args, how.packed,
              shapeOf(how, tokens, dy.size(1)));
  if (dBias.defined()) addByDistance(byText, how, dBias);
  return dQkv;
}

void CpuOps::addRows(at::Tensor& x, const at::Tensor& table, const at::Tensor& rows) const {
  const int64_t columns = x.size(1);
  const int64_t* row = rows.const_data_ptr<int64_t>();
  at::parallel_for(0, x.size(0), rowGrain, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const float* in = read(table) + row[i] * columns;
      float* out = write(x) + i * columns;
      for (int64_t c = 0; c < columns; ++c) out[c] += in[c];
    }
  });
}

// Threads take columns, so that no two write to one row's number and the order of the sums is
// fixed.
void CpuOps::addRowsBackward(const at::Tensor& dx, const at::Tensor& rows,
                             at::Tensor tableGradient) const {
  const int64_t columns = dx.size(1), count = dx.size(0);
  const int64_t* row = rows.const_data_ptr<int64_t>();
  const float* in = read(dx);
  float* out = write(tableGradient);
  at::parallel_for(0, columns, 64, [&](int64_t first, int64_t last) {
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t c = first; c < last; ++c) out[row[i] * columns + c] += in[i * columns + c];
    }
  });
}

}  // namespace listwise::core::nn
