#include "grouped_attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "upload.h"

namespace listwise::core::nn {
namespace {

// Texts are longest first: a group goes on while a text has at least this share of its first one's
// tokens, so that little is padded, and while its scores fit.
constexpr double leastShare = 0.8;
constexpr int64_t mostScores = int64_t{1} << 26;  // 256 MB in fp32

// Texts [first, first + count) of a micro-batch: `tokens` rows from `start`, padded to `longest`.
struct Group {
  int64_t start, tokens, count, longest;
  at::Tensor cells;   // [tokens] each token's place in the padded grid [count x longest]
  at::Tensor hidden;  // [count, 1, 1, longest] true where there is no token
};

Group groupOf(const Packed& packed, int64_t first, int64_t heads, const at::Device& device) {
  const auto length = [&](int64_t i) { return packed.offsets[i + 1] - packed.offsets[i]; };
  const int64_t longest = length(first);
  int64_t end = first + 1;
  while (end < packed.count() && length(end) <= longest &&
         static_cast<double>(length(end)) >= leastShare * static_cast<double>(longest) &&
         (end + 1 - first) * heads * longest * longest <= mostScores) {
    ++end;
  }
  std::vector<int64_t> cells;
  for (int64_t text = first; text < end; ++text) {
    for (int64_t i = 0; i < length(text); ++i) cells.push_back((text - first) * longest + i);
  }
  Group g{packed.offsets[first], packed.offsets[end] - packed.offsets[first],
          end - first,           longest,
          upload(cells, device), {}};
  const auto places = at::arange(longest, packed.lengths.options());
  g.hidden = (places >= packed.lengths.narrow(0, first, g.count).unsqueeze(1))
                 .view({g.count, 1, 1, longest});
  return g;
}

template <class Step>
void eachGroup(const Attention& how, const at::Device& device, Step step) {
  for (int64_t first = 0; first < how.packed.count();) {
    const auto group = groupOf(how.packed, first, how.heads, device);
    step(group);
    first += group.count;
  }
}

// Rows of a group as [count, heads, longest, head size], 0 where there is no token.
at::Tensor spread(const at::Tensor& rows, const Group& g, int64_t heads) {
  const int64_t width = rows.size(1);
  auto grid = at::zeros({g.count * g.longest, width}, rows.options());
  grid.index_copy_(0, g.cells, rows.narrow(0, g.start, g.tokens));
  return grid.view({g.count, g.longest, heads, width / heads}).transpose(1, 2);
}

// The other way: writes the group's rows.
void gather(const at::Tensor& grid, const Group& g, at::Tensor rows) {
  const int64_t width = rows.size(1);
  rows.narrow(0, g.start, g.tokens)
      .copy_(grid.transpose(1, 2).reshape({g.count * g.longest, width}).index_select(0, g.cells));
}

struct Scores {
  at::Tensor q, k, v, scores;
  at::Tensor distances;
};

Scores scoresOf(const at::Tensor& qkv, const Attention& how, const Group& g) {
  const int64_t width = qkv.size(1) / 3;
  const auto part = [&](int64_t i) {
    return spread(qkv.narrow(1, i * width, width), g, how.heads);
  };
  Scores s{part(0), part(1), part(2), {}, {}};
  s.scores = at::matmul(s.q * how.scale, s.k.transpose(2, 3)).to(at::kFloat);
  const auto places = at::arange(g.longest, qkv.options().dtype(at::kLong));
  const auto apart = places.unsqueeze(0) - places.unsqueeze(1);
  if (how.bias.defined()) {
    s.distances = (apart + how.centre()).reshape({-1});
    s.scores.add_(how.bias.index_select(1, s.distances).view({1, how.heads, g.longest, g.longest}));
  }
  constexpr double nothing = -std::numeric_limits<double>::infinity();
  s.scores.masked_fill_(g.hidden, nothing);
  // A padded query may see nothing then: its row is NaN, and read by nobody.
  if (how.window > 0) s.scores.masked_fill_(apart.abs() > how.window, nothing);
  return s;
}

}  // namespace

at::Tensor groupedAttention(const at::Tensor& qkv, const Attention& how, at::Tensor* lse) {
  auto y = at::empty({qkv.size(0), qkv.size(1) / 3}, qkv.options());
  auto sums = at::empty({qkv.size(0), how.heads}, qkv.options().dtype(at::kFloat));
  eachGroup(how, qkv.device(), [&](const Group& g) {
    const auto s = scoresOf(qkv, how, g);
    gather(at::matmul(at::softmax(s.scores, -1).to(qkv.scalar_type()), s.v), g, y);
    if (lse != nullptr) gather(s.scores.logsumexp(-1).unsqueeze(-1), g, sums);
  });
  if (lse != nullptr) *lse = sums;
  return y;
}

at::Tensor groupedAttentionBackward(const at::Tensor& dy, const AttentionTrace& trace,
                                    const Attention& how, at::Tensor& dBias) {
  const int64_t width = dy.size(1);
  auto dQkv = at::empty_like(trace.qkv);
  eachGroup(how, dy.device(), [&](const Group& g) {
    const auto s = scoresOf(trace.qkv, how, g);
    const auto d = spread(dy, g, how.heads);
    const auto p = (s.scores - spread(trace.lse, g, how.heads)).exp();
    const auto delta = (d * spread(trace.y, g, how.heads)).sum(-1, true, at::kFloat);
    const auto raw = p * (at::matmul(d, s.v.transpose(2, 3)).to(at::kFloat) - delta);
    if (dBias.defined())
      dBias.index_add_(1, s.distances, raw.sum(0).view({how.heads, g.longest * g.longest}));
    const auto dScores = (raw * how.scale).to(dy.scalar_type());
    gather(at::matmul(dScores, s.k), g, dQkv.narrow(1, 0, width));
    gather(at::matmul(dScores.transpose(2, 3), s.q), g, dQkv.narrow(1, width, width));
    gather(at::matmul(p.to(dy.scalar_type()).transpose(2, 3), d), g,
           dQkv.narrow(1, 2 * width, width));
  });
  return dQkv;
}

}  // namespace listwise::core::nn
