#include "transformer.h"

#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <string>

namespace listwise::core::nn {
namespace {

constexpr const char* weight = ".weight";
constexpr const char* bias = ".bias";

}  // namespace

Linear Transformer::linear(const char* name, int64_t layer) const {
  const std::string key = name;
  return {parameters_.view(key + weight, layer), parameters_.view(key + bias, layer)};
}

LinearGradient Transformer::linearGradient(const char* name, int64_t layer,
                                           const at::Tensor& gradient) const {
  const std::string key = name;
  return {parameters_.viewInto(gradient, key + weight, layer),
          parameters_.viewInto(gradient, key + bias, layer)};
}

Norm Transformer::norm(const char* name, int64_t layer) const {
  const std::string key = name;
  return {parameters_.view(key + weight, layer), parameters_.view(key + bias, layer),
          architecture_.layerNormEps};
}

std::pair<Norm, NormGradient> Transformer::normWithGradient(const char* name, int64_t layer,
                                                            const at::Tensor& gradient) const {
  const auto views = linearGradient(name, layer, gradient);
  return {norm(name, layer), {views.weight, views.bias}};
}

at::Tensor Transformer::forward(const Packed& packed, Trace* trace) const {
  auto x = embed(packed, trace);
  if (trace != nullptr) trace->blocks.resize(static_cast<size_t>(architecture_.layers));
  for (int64_t i = 0; i < architecture_.layers; ++i) {
    x = block(x, packed, i, trace != nullptr ? &trace->blocks[static_cast<size_t>(i)] : nullptr);
  }
  return x;
}

at::Tensor Transformer::embed(const Packed& packed, Trace* trace) const {
  const auto& words = parameters_.view("embeddings.word");
  auto sum = at::zeros({packed.tokens(), architecture_.hiddenSize}, words.options());
  ops_.addRows(sum, words, packed.ids);
  ops_.addRows(sum, parameters_.view("embeddings.position"), packed.positions);
  const auto type = parameters_.view("embeddings.tokenType").narrow(0, 0, 1).expand_as(sum);
  auto x = ops_.addNorm(sum, type, norm("embeddings.norm", -1),
                        trace != nullptr ? &trace->norm : nullptr);
  if (trace != nullptr) trace->sum = sum;
  return x;
}

at::Tensor Transformer::block(const at::Tensor& x, const Packed& packed, int64_t layer,
                              BlockTrace* trace) const {
  auto qkv = ops_.linear(x, linear("attention.qkv", layer));
  auto context =
      ops_.attention(qkv, packed, architecture_.heads, trace != nullptr ? &trace->lse : nullptr);
  auto sum = ops_.linear(context, linear("attention.output", layer));
  auto middle = ops_.addNorm(sum, x, norm("attention.norm", layer),
                             trace != nullptr ? &trace->norm1 : nullptr);
  if (trace != nullptr) {
    trace->x = x;
    trace->qkv = std::move(qkv);
    trace->context = std::move(context);
    trace->sum1 = std::move(sum);
    trace->middle = middle;
  }
  return feedForward(middle, layer, trace);
}

at::Tensor Transformer::feedForward(const at::Tensor& middle, int64_t layer,
                                    BlockTrace* trace) const {
  const auto in = linear("feedForward.in", layer);
  at::Tensor activated;
  if (trace != nullptr) {
    trace->inner = ops_.linear(middle, in);
    activated = ops_.activate(trace->inner, architecture_.activation);
  } else {
    activated = ops_.linearActivate(middle, in, architecture_.activation);
  }
  auto sum = ops_.linear(activated, linear("feedForward.out", layer));
  auto y = ops_.addNorm(sum, middle, norm("feedForward.norm", layer),
                        trace != nullptr ? &trace->norm2 : nullptr);
  if (trace != nullptr) trace->sum2 = std::move(sum);
  return y;
}

void Transformer::backward(at::Tensor dHidden, const Packed& packed, Trace& trace,
                           const at::Tensor& gradient) const {
  for (int64_t i = architecture_.layers - 1; i >= 0; --i) {
    auto& blockTrace = trace.blocks[static_cast<size_t>(i)];
    dHidden = blockBackward(dHidden, packed, i, blockTrace, gradient);
    blockTrace = {};
  }
  embedBackward(dHidden, packed, trace, gradient);
}

at::Tensor Transformer::blockBackward(const at::Tensor& dy, const Packed& packed, int64_t layer,
                                      BlockTrace& t, const at::Tensor& gradient) const {
  const auto dLinear = [&](const at::Tensor& d, const at::Tensor& input, const char* name) {
    return ops_.linearBackward(d, input, linear(name, layer),
                               linearGradient(name, layer, gradient));
  };
  const auto dSum2 = ops_.normBackward(dy, {}, t.sum2, t.norm2,
                                       normWithGradient("feedForward.norm", layer, gradient));
  auto dInner = dLinear(dSum2, ops_.activate(t.inner, architecture_.activation), "feedForward.out");
  dInner = ops_.activateBackward(dInner, t.inner, architecture_.activation);
  const auto dMiddle = dLinear(dInner, t.middle, "feedForward.in");
  auto dSum1 = ops_.normBackward(dMiddle, dSum2, t.sum1, t.norm1,
                                 normWithGradient("attention.norm", layer, gradient));
  const auto dContext = dLinear(dSum1, t.context, "attention.output");
  const auto dQkv =
      ops_.attentionBackward(dContext, t.qkv, t.context, t.lse, {packed, architecture_.heads});
  return dSum1.add_(dLinear(dQkv, t.x, "attention.qkv"));
}

void Transformer::embedBackward(const at::Tensor& dx, const Packed& packed, Trace& trace,
                                const at::Tensor& gradient) const {
  const auto dSum = ops_.normBackward(dx, {}, trace.sum, trace.norm,
                                      normWithGradient("embeddings.norm", -1, gradient));
  ops_.addRowsBackward(dSum, packed.ids, parameters_.viewInto(gradient, "embeddings.word"));
  ops_.addRowsBackward(dSum, packed.positions,
                       parameters_.viewInto(gradient, "embeddings.position"));
  parameters_.viewInto(gradient, "embeddings.tokenType")
      .select(0, 0)
      .add_(dSum.sum(0, false, at::kFloat));
  trace = {};
}

int64_t Transformer::traceBytesPerToken() const {
  const int64_t number = static_cast<int64_t>(parameters_.view("embeddings.word").element_size());
  const int64_t hidden = architecture_.hiddenSize;
  const int64_t perBlock =
      number * (8 * hidden + architecture_.intermediateSize) + 4 * (architecture_.heads + 4);
  return architecture_.layers * perBlock + number * hidden + 8;
}

// blockBackward's matrices and the transposed copies that the products of the weights make. Not all
// live at once, but the pool's free blocks of one size do not serve requests for another.
int64_t Transformer::workBytesPerToken() const {
  const int64_t number = static_cast<int64_t>(parameters_.view("embeddings.word").element_size());
  return number * (9 * architecture_.hiddenSize + 3 * architecture_.intermediateSize) + 64;
}

}  // namespace listwise::core::nn
