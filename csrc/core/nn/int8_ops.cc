#include "int8_ops.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "../error.h"
#include "../kernels/kernels.h"

namespace listwise::core::nn {

// The layout is that of kernels::Int8Weights.
struct Int8Ops::Weights {
  explicit Weights(const at::Tensor& weight);
  kernels::Int8Weights view() const {
    return {packed.data(), scales.data(), sums.data(), outputs, inputs, groups};
  }

  int64_t outputs, inputs, groups;
  std::vector<int8_t> packed;
  std::vector<float> scales;
  std::vector<int32_t> sums;
};

Int8Ops::Weights::Weights(const at::Tensor& weight)
    : outputs(weight.size(0)), inputs(weight.size(1)), groups((inputs + 3) / 4) {
  const float* in = weight.const_data_ptr<float>();
  packed.assign(static_cast<size_t>((outputs + 15) / 16 * groups * 64), 0);
  scales.resize(static_cast<size_t>(outputs));
  sums.assign(static_cast<size_t>(outputs), 0);
  at::parallel_for(0, outputs, 16, [&](int64_t first, int64_t last) {
    for (int64_t out = first; out < last; ++out) {
      const float* row = in + out * inputs;
      float most = 0;
      bool finite = true;
      for (int64_t i = 0; i < inputs; ++i) {
        most = std::max(most, std::abs(row[i]));
        finite = finite && std::isfinite(row[i]);
      }
      if (!finite) {
        throw Error("NOT_FINITE",
                    "Expected finite weights but some are NaN or infinite; the model is broken.");
      }
      const float scale = most > 0 ? most / 127 : 1;
      scales[out] = scale;
      int8_t* panel = packed.data() + out / 16 * groups * 64 + out % 16 * 4;
      for (int64_t i = 0; i < inputs; ++i) {
        const auto whole = static_cast<int8_t>(std::lrint(row[i] / scale));
        panel[i / 4 * 64 + i % 4] = whole;
        sums[out] += whole;
      }
    }
  });
}

Int8Ops::Int8Ops() = default;
Int8Ops::~Int8Ops() = default;

const Int8Ops::Weights& Int8Ops::weightsOf(const at::Tensor& weight) const {
  auto& found = weights_[weight.const_data_ptr()];
  if (!found) found = std::make_unique<Weights>(weight);
  return *found;
}

at::Tensor Int8Ops::multiply(const at::Tensor& x, const Linear& l, bool gelu) const {
  const auto& weights = weightsOf(l.weight);
  const int64_t rows = x.size(0);
  auto y = at::empty({rows, weights.outputs}, x.options());
  const kernels::Int8Product args{x.const_data_ptr<float>(), weights.view(),
                                  l.bias.defined() ? l.bias.const_data_ptr<float>() : nullptr,
                                  y.mutable_data_ptr<float>(), gelu};
  // Few rows are shared out more finely.
  const int64_t threads = at::get_num_threads();
  const int64_t share =
      std::clamp<int64_t>((rows + threads - 1) / threads, 1, kernels::int8BlockRows);
  at::parallel_for(0, (rows + share - 1) / share, 1, [&](int64_t first, int64_t last) {
    std::vector<uint8_t> room(static_cast<size_t>(kernels::int8BlockRows * weights.groups * 4));
    for (int64_t block = first; block < last; ++block) {
      kernels::table().int8Product(args, block * share, std::min(rows, (block + 1) * share),
                                   room.data());
    }
  });
  return y;
}

at::Tensor Int8Ops::linear(const at::Tensor& x, const Linear& l) const {
  return multiply(x, l, false);
}

at::Tensor Int8Ops::linearActivate(const at::Tensor& x, const Linear& l, Activation kind) const {
  if (kind == Activation::Gelu) return multiply(x, l, true);
  return activate(multiply(x, l, false), kind);
}

}  // namespace listwise::core::nn
