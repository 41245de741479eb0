#include "decoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/softmax.h>

#include <string>

#include "upload.h"

namespace listwise::core::nn {

at::Tensor DecoderStep::weight(const char* name, int64_t layer) const {
  return parameters_.view(std::string(name) + ".weight", layer);
}

// RMS norm, in fp32 whatever the states are.
at::Tensor DecoderStep::norm(const at::Tensor& x, const char* name, int64_t layer) const {
  const auto scale = weight(name, layer);
  const auto wide = x.to(at::kFloat);
  const auto mean = (wide * wide).mean(-1, true);
  return (wide * (mean + spec_.architecture.normEps).rsqrt()).to(scale.scalar_type()) * scale;
}

// With one query a text, the keys' product is moved to the query's side, and the values' behind the
// weighted mean of the states: (q W_k x) is (q W_k) x. A text then costs tokens x heads x hidden
// numbers, and not the keys and values of all its tokens.
at::Tensor DecoderStep::crossAttention(const at::Tensor& x, const at::Tensor& states,
                                       const Packed& packed, int64_t layer) const {
  const auto& a = spec_.architecture;
  const int64_t n = packed.count();
  const std::vector<int64_t> byHead{a.heads, a.headSize, a.hiddenSize};
  const auto query = at::linear(x, weight("decoder.cross.query", layer))
                         .view({n, a.heads, a.headSize})
                         .transpose(0, 1);
  const auto probes =
      at::bmm(query, weight("decoder.cross.key", layer).view(byHead)).transpose(0, 1).contiguous();
  auto means = at::empty_like(probes);  // [n, heads, H]
  for (int64_t i = 0; i < n; ++i) {
    const int64_t start = packed.offsets[static_cast<size_t>(i)];
    const auto own = states.narrow(0, start, packed.offsets[static_cast<size_t>(i) + 1] - start);
    const auto scores = at::mm(probes.select(0, i), own.t()).to(at::kFloat) * a.scoreScale;
    means.select(0, i).copy_(at::mm(at::softmax(scores, -1).to(own.scalar_type()), own));
  }
  const auto values = at::bmm(means.transpose(0, 1),
                              weight("decoder.cross.value", layer).view(byHead).transpose(1, 2));
  return at::linear(values.transpose(0, 1).reshape({n, a.attentionSize()}),
                    weight("decoder.cross.output", layer));
}

at::Tensor DecoderStep::feedForward(const at::Tensor& x, int64_t layer) const {
  const auto& a = spec_.architecture;
  const auto inner = at::linear(x, weight("decoder.feedForward.in", layer));
  const auto activated = a.feedForward == FeedForward::Plain
                             ? ops_.activate(inner, a.activation)
                             : ops_.gate(inner, a.activation, a.feedForward);
  return at::linear(activated, weight("decoder.feedForward.out", layer));
}

at::Tensor DecoderStep::forward(const at::Tensor& states, const Packed& packed) const {
  const auto& d = spec_.decoder;
  const auto& words = parameters_.view("embeddings.word");
  auto x = words.narrow(0, d.startId, 1).expand({packed.count(), -1}).to(at::kFloat);
  for (int64_t i = 0; i < d.layers; ++i) {
    const auto value = at::linear(norm(x, "decoder.self.norm", i), weight("decoder.self.value", i));
    x = x + at::linear(value, weight("decoder.self.output", i));
    x = x + crossAttention(norm(x, "decoder.cross.norm", i), states, packed, i);
    x = x + feedForward(norm(x, "decoder.feedForward.norm", i), i);
  }
  const auto& own = weight("decoder.head", -1);
  const auto rows = (own.defined() ? own : words).index_select(0, upload(d.outputIds, x.device()));
  const auto last = norm(x, "decoder.final.norm", -1) * d.outputScale;
  return at::linear(last, rows).to(at::kFloat);
}

}  // namespace listwise::core::nn
