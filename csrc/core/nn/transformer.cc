#include "transformer.h"

#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <string>

namespace listwise::core::nn {
namespace {

constexpr const char* weight = ".weight";
constexpr const char* bias = ".bias";

// Those rows of x, all of them where none are named.
at::Tensor take(const at::Tensor& x, const at::Tensor& rows) {
  return rows.defined() ? x.index_select(0, rows) : x;
}

// The way back: x at its rows of `count`, and zeros.
at::Tensor spread(const at::Tensor& x, const at::Tensor& rows, int64_t count) {
  if (!rows.defined()) return x;
  return at::zeros({count, x.size(1)}, x.options()).index_copy_(0, rows, x);
}

}  // namespace

Linear Transformer::linear(const char* name, int64_t layer) const {
  const std::string key = name;
  return {parameters_.view(key + weight, layer), parameters_.view(key + bias, layer)};
}

LinearGradient Transformer::linearGradient(Place place, const at::Tensor& gradient) const {
  const std::string key = place.first;
  return {parameters_.viewInto(gradient, key + weight, place.second),
          parameters_.viewInto(gradient, key + bias, place.second)};
}

Transformer::Place Transformer::firstNorm() const {
  return isNormedFirst() ? Place{"embeddings.norm", -1} : Place{"attention.norm", 0};
}

Transformer::Place Transformer::normAfterAttention(int64_t layer) const {
  return {isNormAfter() ? "attention.norm" : "feedForward.norm", layer};
}

Transformer::Place Transformer::normAfterFeedForward(int64_t layer) const {
  if (isNormAfter()) return {"feedForward.norm", layer};
  return layer + 1 < architecture_.layers ? Place{"attention.norm", layer + 1}
                                          : Place{"final.norm", -1};
}

Attention Transformer::attention(const Packed& packed, const Relations& relations,
                                 int64_t layer) const {
  const auto kind = static_cast<size_t>(architecture_.attentionOfLayer[layer]);
  return {packed,
          architecture_.heads,
          architecture_.scoreScale,
          architecture_.attention[kind].window,
          relations.bias,
          relations.rotary[kind]};
}

Stream Transformer::join(at::Tensor output, const at::Tensor& residual,
                         const NormStep& step) const {
  const auto [key, layer] = step.place;
  const auto l = linear(key, layer);
  auto x =
      ops_.addNorm(output, residual, {l.weight, l.bias, architecture_.normEps, architecture_.norm},
                   step.statistics);
  if (step.sum != nullptr) *step.sum = output;
  return {x, step.isNormed ? x : output};
}

at::Tensor Transformer::joinBackward(const Stream& d, const NormStep& step,
                                     const at::Tensor& gradient) const {
  const auto [key, layer] = step.place;
  const auto l = linear(key, layer);
  const auto views = linearGradient(step.place, gradient);
  const std::pair<Norm, NormGradient> norm{
      {l.weight, l.bias, architecture_.normEps, architecture_.norm}, {views.weight, views.bias}};
  if (step.isNormed || !d.residual.defined())
    return ops_.normBackward(d.x, d.residual, *step.sum, *step.statistics, norm);
  return ops_.normBackward(d.x, {}, *step.sum, *step.statistics, norm).add_(d.residual);
}

at::Tensor Transformer::rowsAfter(int64_t layer, const at::Tensor& rows) const {
  return layer == architecture_.layers - 1 ? rows : at::Tensor();
}

at::Tensor Transformer::forward(const Packed& packed, const at::Tensor& rows,
                                Keeping keeping) const {
  auto* trace = keeping.trace;
  auto relations = relationsOf(architecture_, packed, parameters_.view("attention.relative"));
  auto stream = embed(packed, trace);
  if (trace != nullptr) trace->blocks.resize(static_cast<size_t>(architecture_.layers));
  for (int64_t i = 0; i < architecture_.layers; ++i) {
    auto* block = trace != nullptr ? &trace->blocks[static_cast<size_t>(i)] : nullptr;
    stream = attend(stream, {attention(packed, relations, i), i, rowsAfter(i, rows)}, block);
    stream = feedForward(stream, i, {block, keeping.unfused || block != nullptr});
  }
  if (trace != nullptr) {
    trace->relations = std::move(relations);
    trace->rows = rows;
  }
  return stream.x;
}

Stream Transformer::embed(const Packed& packed, Trace* trace) const {
  const auto& words = parameters_.view("embeddings.word");
  auto sum = at::zeros({packed.tokens(), architecture_.hiddenSize}, words.options());
  ops_.addRows(sum, words, packed.ids);
  if (architecture_.positionRows > 0)
    ops_.addRows(sum, parameters_.view("embeddings.position"), packed.positionRows);
  const bool hasTypes = packed.types.defined() && architecture_.tokenTypes > 1;
  if (hasTypes) ops_.addRows(sum, parameters_.view("embeddings.tokenType"), packed.types);
  const auto type = architecture_.tokenTypes > 0 && !hasTypes
                        ? parameters_.view("embeddings.tokenType").narrow(0, 0, 1)
                        : at::zeros({1, architecture_.hiddenSize}, words.options());
  return join(std::move(sum), type.expand({packed.tokens(), -1}),
              {firstNorm(), isNormedFirst(), trace != nullptr ? &trace->sum : nullptr,
               trace != nullptr ? &trace->norm : nullptr});
}

Stream Transformer::attend(const Stream& in, const AttentionStep& step, BlockTrace* trace) const {
  const auto& [how, layer, rows] = step;
  auto qkv = ops_.linear(in.x, linear("attention.qkv", layer));
  if (how.rotary.cosine.defined()) ops_.rotate(qkv, how, false);
  auto context = ops_.attention(qkv, how, trace != nullptr ? &trace->attention.lse : nullptr);
  auto output = ops_.linear(take(context, rows), linear("attention.output", layer));
  if (trace != nullptr) {
    trace->x = in.x;
    trace->attention.qkv = std::move(qkv);
    trace->attention.y = std::move(context);
  }
  return join(std::move(output), take(in.residual, rows),
              {normAfterAttention(layer), isNormAfter(), trace != nullptr ? &trace->sum1 : nullptr,
               trace != nullptr ? &trace->norm1 : nullptr});
}

at::Tensor Transformer::activate(const at::Tensor& inner) const {
  const auto& a = architecture_;
  return a.feedForward == FeedForward::Plain ? ops_.activate(inner, a.activation)
                                             : ops_.gate(inner, a.activation, a.feedForward);
}

Stream Transformer::feedForward(const Stream& in, int64_t layer, BlockKeeping keeping) const {
  const auto [trace, unfused] = keeping;
  const auto into = linear("feedForward.in", layer);
  at::Tensor activated;
  if (!unfused && architecture_.feedForward == FeedForward::Plain) {
    activated = ops_.linearActivate(in.x, into, architecture_.activation);
  } else {
    auto inner = ops_.linear(in.x, into);
    activated = activate(inner);
    if (trace != nullptr) {
      trace->middle = in.x;
      trace->inner = std::move(inner);
    }
  }
  return join(
      ops_.linear(activated, linear("feedForward.out", layer)), in.residual,
      {normAfterFeedForward(layer), isNormAfter(), trace != nullptr ? &trace->sum2 : nullptr,
       trace != nullptr ? &trace->norm2 : nullptr});
}

void Transformer::backward(at::Tensor dHidden, const Packed& packed, Trace& trace,
                           const at::Tensor& gradient) const {
  const auto& relations = trace.relations;
  auto dBias = relations.bias.defined() ? at::zeros_like(relations.bias) : at::Tensor();
  Stream d{std::move(dHidden), {}};
  for (int64_t i = architecture_.layers - 1; i >= 0; --i) {
    auto& block = trace.blocks[static_cast<size_t>(i)];
    d = feedForwardBackward(d, i, block, gradient);
    const AttentionStep step{attention(packed, relations, i), i, rowsAfter(i, trace.rows)};
    d = attendBackward(d, step, block, gradient, dBias);
    block = {};
  }
  if (dBias.defined())
    addBiasGradient(dBias, relations, parameters_.viewInto(gradient, "attention.relative"));
  embedBackward(d, packed, trace, gradient);
}

Stream Transformer::feedForwardBackward(const Stream& d, int64_t layer, BlockTrace& t,
                                        const at::Tensor& gradient) const {
  const auto& a = architecture_;
  const auto dSum =
      joinBackward(d, {normAfterFeedForward(layer), isNormAfter(), &t.sum2, &t.norm2}, gradient);
  const auto dActivated =
      ops_.linearBackward(dSum, activate(t.inner), linear("feedForward.out", layer),
                          linearGradient({"feedForward.out", layer}, gradient));
  const auto dInner = a.feedForward == FeedForward::Plain
                          ? ops_.activateBackward(dActivated, t.inner, a.activation)
                          : ops_.gateBackward(dActivated, t.inner, a.activation, a.feedForward);
  return {ops_.linearBackward(dInner, t.middle, linear("feedForward.in", layer),
                              linearGradient({"feedForward.in", layer}, gradient)),
          dSum};
}

Stream Transformer::attendBackward(const Stream& d, const AttentionStep& step, BlockTrace& t,
                                   const at::Tensor& gradient, at::Tensor& dBias) const {
  const auto& [how, layer, rows] = step;
  const int64_t tokens = t.x.size(0);
  const auto dSum =
      joinBackward(d, {normAfterAttention(layer), isNormAfter(), &t.sum1, &t.norm1}, gradient);
  const auto dContext =
      ops_.linearBackward(dSum, take(t.attention.y, rows), linear("attention.output", layer),
                          linearGradient({"attention.output", layer}, gradient));
  auto dQkv = ops_.attentionBackward(spread(dContext, rows, tokens), t.attention, how, dBias);
  if (how.rotary.cosine.defined()) ops_.rotate(dQkv, how, true);
  return {ops_.linearBackward(dQkv, t.x, linear("attention.qkv", layer),
                              linearGradient({"attention.qkv", layer}, gradient)),
          spread(dSum, rows, tokens)};
}

void Transformer::embedBackward(const Stream& d, const Packed& packed, Trace& trace,
                                const at::Tensor& gradient) const {
  const auto dSum =
      joinBackward(d, {firstNorm(), isNormedFirst(), &trace.sum, &trace.norm}, gradient);
  ops_.addRowsBackward(dSum, packed.ids, parameters_.viewInto(gradient, "embeddings.word"));
  if (architecture_.positionRows > 0) {
    ops_.addRowsBackward(dSum, packed.positionRows,
                         parameters_.viewInto(gradient, "embeddings.position"));
  }
  if (packed.types.defined() && architecture_.tokenTypes > 1) {
    ops_.addRowsBackward(dSum, packed.types,
                         parameters_.viewInto(gradient, "embeddings.tokenType"));
  } else if (architecture_.tokenTypes > 0) {
    parameters_.viewInto(gradient, "embeddings.tokenType")
        .select(0, 0)
        .add_(dSum.sum(0, false, at::kFloat));
  }
  trace = {};
}

int64_t Transformer::traceBytesPerToken() const {
  const auto& a = architecture_;
  const int64_t number = static_cast<int64_t>(parameters_.view("embeddings.word").element_size());
  const int64_t perBlock =
      number * (4 * a.hiddenSize + 4 * a.attentionSize() + a.innerSize()) + 4 * (a.heads + 4);
  return a.layers * perBlock + number * a.hiddenSize + 8;
}

int64_t Transformer::traceBytes(int64_t tokens, int64_t rows) const {
  const auto& a = architecture_;
  const int64_t number = static_cast<int64_t>(parameters_.view("embeddings.word").element_size());
  // sum1, middle, inner and sum2, and the statistics of both norms.
  const int64_t afterAttention = number * (3 * a.hiddenSize + a.innerSize()) + 4 * 4;
  return tokens * traceBytesPerToken() - (tokens - rows) * afterAttention;
}

// The matrices of a block's backward pass and the transposed copies that the products of the
// weights make. Not all live at once, but the pool's free blocks of one size do not serve requests
// for another.
int64_t Transformer::workBytesPerToken() const {
  const int64_t number = static_cast<int64_t>(parameters_.view("embeddings.word").element_size());
  const auto& a = architecture_;
  return number * (5 * a.hiddenSize + 4 * a.attentionSize() + 2 * a.innerSize() +
                   2 * a.intermediateSize) +
         64;
}

}  // namespace listwise::core::nn
