#include "pooling.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/zeros.h>

namespace listwise::core::nn {
namespace {

// Token weights count from 1.
at::Tensor placesFromOne(const Packed& packed) {
  return (packed.positions + 1).to(at::kFloat).unsqueeze(1);
}

// What the sum over a text's tokens is divided by, [n, 1].
at::Tensor divisors(const Packed& packed, Pooling pooling) {
  const auto lengths = packed.lengths.to(at::kFloat).unsqueeze(1);
  if (pooling == Pooling::MeanSqrtLength) return lengths.sqrt();
  if (pooling == Pooling::WeightedMean) return lengths * (lengths + 1) / 2;
  return lengths;
}

Pooled largest(const at::Tensor& x, const Packed& packed) {
  const auto options = x.options().dtype(at::kFloat);
  Pooled out{at::empty({packed.count(), x.size(1)}, options),
             at::empty({packed.count(), x.size(1)}, options.dtype(at::kLong))};
  for (int64_t i = 0; i < packed.count(); ++i) {
    const int64_t start = packed.offsets[i];
    const auto [most, place] = x.narrow(0, start, packed.offsets[i + 1] - start).max(0);
    out.rows.select(0, i).copy_(most);
    out.chosen.select(0, i).copy_(place + start);
  }
  return out;
}

}  // namespace

bool readsOneToken(Pooling pooling) {
  return pooling == Pooling::FirstToken || pooling == Pooling::LastToken;
}

at::Tensor tokensRead(const Packed& packed, Pooling pooling) {
  if (pooling == Pooling::FirstToken) return packed.starts;
  if (pooling == Pooling::LastToken) return packed.starts + packed.lengths - 1;
  return {};
}

Pooled pool(const at::Tensor& x, const Packed& packed, Pooling pooling) {
  if (readsOneToken(pooling)) return {x.to(at::kFloat), {}};
  if (pooling == Pooling::Max) return largest(x, packed);
  auto states = x.to(at::kFloat);
  if (pooling == Pooling::WeightedMean) states = states * placesFromOne(packed);
  auto sums = at::zeros({packed.count(), x.size(1)}, states.options());
  sums.index_add_(0, packed.texts, states);
  return {sums.div_(divisors(packed, pooling)), {}};
}

at::Tensor poolBackward(const at::Tensor& dRows, const Packed& packed, Pooling pooling,
                        const at::Tensor& chosen) {
  if (readsOneToken(pooling)) return dRows;
  if (pooling == Pooling::Max) {
    return at::zeros({packed.tokens(), dRows.size(1)}, dRows.options()).scatter_(0, chosen, dRows);
  }
  auto spread = (dRows / divisors(packed, pooling)).index_select(0, packed.texts);
  return pooling == Pooling::WeightedMean ? spread * placesFromOne(packed) : spread;
}

}  // namespace listwise::core::nn
