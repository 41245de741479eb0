#include "optimizer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>

#include "error.h"
#include "safetensors.h"

namespace listwise::core {
namespace {

// The length of a flat tensor, in double precision, which libtorch would turn all of it into on the
// CPU. On a GPU it converts on the way, and many small sums would take longer to launch than to do.
at::Tensor lengthOf(const at::Tensor& numbers) {
  const int64_t chunk = numbers.is_cpu() ? int64_t{1} << 18 : std::max<int64_t>(1, numbers.numel());
  auto squares = at::zeros({}, numbers.options().dtype(at::kDouble));
  for (int64_t i = 0; i < numbers.numel(); i += chunk) {
    const auto some = numbers.narrow(0, i, std::min(chunk, numbers.numel() - i));
    squares.add_(at::linalg_vector_norm(some, 2, {}, false, at::kDouble).square_());
  }
  return squares.sqrt_();
}

}  // namespace

void Optimizer::makeMoments(const at::Tensor& weights) {
  if (first_.defined()) return;
  first_ = at::zeros_like(weights);
  second_ = at::zeros_like(weights);
  count_ = at::zeros({}, weights.options());
}

double Optimizer::step(at::Tensor& weights, at::Tensor& gradient, double learningRate) {
  makeMoments(weights);
  // Nothing is read from the device until all of it is under way.
  const auto norm = lengthOf(gradient);
  // The small number is torch.nn.utils.clip_grad_norm_'s.
  if (options_.clip > 0)
    gradient.mul_((options_.clip / (norm + 1e-6)).clamp_max_(1).to(gradient.scalar_type()));
  // 1 where the gradient is not finite: the weights and moments stay then.
  const auto skip = norm.isfinite().logical_not().to(at::kFloat);
  at::_fused_adamw_({weights}, {gradient}, {first_}, {second_}, {}, {count_.add_(1 - skip)},
                    learningRate, options_.beta1, options_.beta2, options_.weightDecay,
                    options_.epsilon, false, false, {}, skip);
  const auto lengths = at::stack({norm, lengthOf(weights)}).cpu();
  const double gradientLength = lengths[0].item<double>();
  if (!std::isfinite(gradientLength)) {
    throw Error("NOT_FINITE", "Expected a finite gradient but its length is " +
                                  std::to_string(gradientLength) +
                                  "; the weights were left as they were.");
  }
  ++steps_;
  if (!std::isfinite(lengths[1].item<double>())) {
    throw Error("NOT_FINITE",
                "Expected finite weights after the step but some are NaN or infinite; "
                "use a lower learning rate.");
  }
  return gradientLength;
}

void Optimizer::save(const std::string& file) const {
  if (!first_.defined())
    throw invalidArgument("Expected a step before saveState(); none was taken.");
  const auto first = first_.cpu(), second = second_.cpu();
  const auto bytes = [](const at::Tensor& t) {
    return TensorBytes{{"F32", {t.numel()}},
                       reinterpret_cast<const std::byte*>(t.const_data_ptr<float>()),
                       static_cast<uint64_t>(t.numel()) * sizeof(float)};
  };
  writeSafetensors(file, {{"first_moment", bytes(first)}, {"second_moment", bytes(second)}},
                   {{"steps", std::to_string(steps_)}});
}

void Optimizer::load(const std::string& file, const at::Tensor& weights) {
  makeMoments(weights);
  const SafetensorsFile source(file);
  const auto find = [&](const char* name) -> const TensorInfo& {
    const auto found = source.tensors().find(name);
    if (found == source.tensors().end() || found->second.dtype != "F32" ||
        found->second.shape != std::vector<int64_t>{weights.numel()}) {
      throw Error("BAD_MODEL", file + ": expected a tensor " + name + " of " +
                                   std::to_string(weights.numel()) +
                                   " F32 numbers; the state is of another model.");
    }
    return found->second;
  };
  const auto& first = find("first_moment");
  const auto& second = find("second_moment");
  const auto steps = source.metadata().find("steps");
  if (steps == source.metadata().end() ||
      steps->second.find_first_not_of("0123456789") != std::string::npos || steps->second.empty() ||
      steps->second.size() > 15) {
    throw Error("BAD_MODEL", file + ": expected a step count in the metadata.");
  }
  const auto read = [&](const TensorInfo& info, at::Tensor& into) {
    into.copy_(at::from_blob(const_cast<std::byte*>(source.data(info)), into.sizes(), at::kFloat));
  };
  read(first, first_);
  read(second, second_);
  steps_ = std::stoll(steps->second);
  count_.fill_(static_cast<double>(steps_));
}

}  // namespace listwise::core
