#include "flash_attention.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/_flash_attention_backward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include <optional>

namespace listwise::core::nn {
namespace {

// Query, key or value of all tokens: [T, heads, head size], a view of qkv.
at::Tensor partOf(const at::Tensor& qkv, const Attention& how, int64_t part) {
  const int64_t width = qkv.size(1) / 3;
  return qkv.narrow(1, part * width, width).view({qkv.size(0), how.heads, width / how.heads});
}

std::optional<int64_t> windowOf(const Attention& how) {
  return how.window > 0 ? std::optional<int64_t>(how.window) : std::nullopt;
}

// Whether this build has it and this GPU is one that it serves: it is asked for the attention of
// one text, once.
bool works(const at::TensorOptions& options) {
  static const bool found = [&] {
    const auto handle =
        c10::Dispatcher::singleton().findSchema({"aten::_flash_attention_forward", ""});
    if (!handle || !handle->hasKernelForDispatchKey(c10::DispatchKey::CUDA)) return false;
    try {
      const auto text = at::zeros({8, 1, 64}, options);
      const auto ends = at::arange(0, 16, 8, options.dtype(at::kInt));
      at::_flash_attention_forward(text, text, text, ends, ends, 8, 8, 0.0, false, false,
                                   std::optional<double>(1.0));
      return true;
    } catch (const c10::Error&) {
      return false;
    }
  }();
  return found;
}

}  // namespace

bool canFlash(const at::Tensor& qkv, const Attention& how) {
  const int64_t headSize = qkv.size(1) / 3 / how.heads;
  return qkv.is_cuda() && qkv.scalar_type() == at::kBFloat16 && !how.bias.defined() &&
         headSize % 8 == 0 && headSize <= 256 && works(qkv.options());
}

at::Tensor flashAttention(const at::Tensor& qkv, const Attention& how, at::Tensor* lse) {
  const auto& p = how.packed;
  const auto result = at::_flash_attention_forward(
      partOf(qkv, how, 0), partOf(qkv, how, 1), partOf(qkv, how, 2), p.cumulative, p.cumulative,
      p.longest(), p.longest(), 0.0, false, false, std::optional<double>(how.scale), windowOf(how),
      windowOf(how));
  if (lse != nullptr) *lse = std::get<1>(result);
  return std::get<0>(result).reshape({qkv.size(0), qkv.size(1) / 3});
}

at::Tensor flashAttentionBackward(const at::Tensor& dy, const AttentionTrace& trace,
                                  const Attention& how) {
  const auto& p = how.packed;
  const auto& qkv = trace.qkv;
  const auto heads = [&](const at::Tensor& t) {
    return t.view({t.size(0), how.heads, t.size(1) / how.heads});
  };
  // The state of the random numbers of dropout, of which there is none.
  const auto unused = at::zeros({2}, qkv.options().dtype(at::kLong));
  const auto gradients = at::_flash_attention_backward(
      heads(dy.contiguous()), partOf(qkv, how, 0), partOf(qkv, how, 1), partOf(qkv, how, 2),
      heads(trace.y), trace.lse, p.cumulative, p.cumulative, p.longest(), p.longest(), 0.0, false,
      unused, unused, std::optional<double>(how.scale), windowOf(how), windowOf(how));
  auto dQkv = at::empty_like(qkv);
  partOf(dQkv, how, 0).copy_(std::get<0>(gradients));
  partOf(dQkv, how, 1).copy_(std::get<1>(gradients));
  partOf(dQkv, how, 2).copy_(std::get<2>(gradients));
  return dQkv;
}

}  // namespace listwise::core::nn
