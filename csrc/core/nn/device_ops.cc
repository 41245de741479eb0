#include "device_ops.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "../kernels/row_jobs.h"
#include "flash_attention.h"
#include "grouped_attention.h"

namespace listwise::core::nn {
namespace {

constexpr int64_t rowGrain = 64;
// Rows whose part of a norm's gradient one team adds up.
constexpr int64_t sumShare = 64;

// Whether a device has the jobs: a GPU where nvcc compiled them for it. Each is asked once.
bool isServed(const at::Device& device) {
  if (device.is_cpu()) return true;
#ifdef LISTWISE_CUDA_KERNELS
  static std::mutex mutex;
  static std::map<c10::DeviceIndex, bool> known;
  const std::lock_guard lock(mutex);
  const auto found = known.find(device.index());
  if (found != known.end()) return found->second;
  const c10::DeviceGuard guard(device);
  return known[device.index()] = kernels::runsOnCuda();
#else
  return false;
#endif
}

// Whether rows of this tensor can be worked on.
bool hasRowJobs(const at::Tensor& t) {
  const auto type = t.scalar_type();
  return (type == at::kFloat || type == at::kBFloat16) && t.is_contiguous() && isServed(t.device());
}

template <class Job>
void runRows(const Job& job, int64_t rows, int64_t columns, const at::Tensor& where) {
#ifdef LISTWISE_CUDA_KERNELS
  if (where.is_cuda()) {
    const c10::DeviceGuard guard(where.device());
    return kernels::launchOnCuda(job, rows, columns);
  }
#endif
  (void)columns, (void)where;
  at::parallel_for(0, rows, rowGrain, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) job(kernels::OneThread(), row);
  });
}

// Calls work with a number of the tensor's type.
template <class Work>
void withType(const at::Tensor& t, Work work) {
  if (t.scalar_type() == at::kBFloat16) {
    work(c10::BFloat16());
  } else {
    work(0.0f);
  }
}

template <class T>
T* pointer(const at::Tensor& t) {
  return t.defined() ? t.mutable_data_ptr<T>() : nullptr;
}

template <class T>
const T* reader(const at::Tensor& t) {
  return t.defined() ? t.const_data_ptr<T>() : nullptr;
}

}  // namespace

at::Tensor DeviceOps::linearActivate(const at::Tensor& x, const Linear& l, Activation kind) const {
  if (kind != Activation::Gelu || !hasRowJobs(x)) return PortableOps::linearActivate(x, l, kind);
  auto y = at::mm(x, l.weight.t());
  withType(y, [&](auto number) {
    using T = decltype(number);
    runRows(kernels::BiasGelu<T>{pointer<T>(y), reader<T>(l.bias), y.size(1)}, y.size(0), y.size(1),
            y);
  });
  return y;
}

at::Tensor DeviceOps::addNorm(at::Tensor& x, const at::Tensor& residual, const Norm& norm,
                              NormStatistics* statistics) const {
  if (!hasRowJobs(x) || residual.stride(1) != 1)
    return PortableOps::addNorm(x, residual, norm, statistics);
  const int64_t rows = x.size(0), columns = x.size(1);
  auto y = at::empty_like(x);
  const auto numbers = x.options().dtype(at::kFloat);
  NormStatistics s{at::empty({rows}, numbers), at::empty({rows}, numbers)};
  withType(x, [&](auto number) {
    using T = decltype(number);
    const kernels::AddNorm<T> job{pointer<T>(x),
                                  reader<T>(residual),
                                  residual.stride(0),
                                  reader<T>(norm.weight),
                                  reader<T>(norm.bias),
                                  pointer<T>(y),
                                  pointer<float>(s.mean),
                                  pointer<float>(s.rstd),
                                  columns,
                                  static_cast<float>(norm.eps),
                                  norm.kind == NormKind::Layer};
    runRows(job, rows, columns, x);
  });
  if (statistics != nullptr) *statistics = std::move(s);
  return y;
}

at::Tensor DeviceOps::normBackward(const at::Tensor& dy, const at::Tensor& more,
                                   const at::Tensor& sum, const NormStatistics& statistics,
                                   const std::pair<Norm, NormGradient>& norm) const {
  if (!hasRowJobs(dy) || (more.defined() && !more.is_contiguous()))
    return PortableOps::normBackward(dy, more, sum, statistics, norm);
  const auto& [parameters, gradient] = norm;
  const int64_t rows = dy.size(0), columns = dy.size(1);
  const int64_t shares = (rows + sumShare - 1) / sumShare;
  auto dx = at::empty_like(dy);
  auto sums = at::empty({2, shares, columns}, dy.options().dtype(at::kFloat));
  withType(dy, [&](auto number) {
    using T = decltype(number);
    const kernels::NormRows<T> in{reader<T>(dy),
                                  reader<T>(more),
                                  reader<T>(sum),
                                  reader<float>(statistics.mean),
                                  reader<float>(statistics.rstd),
                                  reader<T>(parameters.weight),
                                  columns,
                                  parameters.kind == NormKind::Layer};
    runRows(kernels::NormBackwardRow<T>{in, pointer<T>(dx)}, rows, columns, dy);
    runRows(kernels::NormBackwardSums<T>{in, rows, sumShare, pointer<float>(sums),
                                         pointer<float>(sums) + shares * columns},
            shares, columns, dy);
  });
  gradient.weight.add_(sums.select(0, 0).sum(0));
  if (gradient.bias.defined()) gradient.bias.add_(sums.select(0, 1).sum(0));
  return dx;
}

void DeviceOps::rotate(at::Tensor& qkv, const Attention& how, bool back) const {
  if (!hasRowJobs(qkv)) return PortableOps::rotate(qkv, how, back);
  const int64_t width = qkv.size(1) / 3;
  withType(qkv, [&](auto number) {
    using T = decltype(number);
    const kernels::Rotate<T> job{pointer<T>(qkv),
                                 reader<float>(how.rotary.cosine),
                                 reader<float>(how.rotary.sine),
                                 reader<int64_t>(how.packed.positions),
                                 width,
                                 how.rotary.cosine.size(1),
                                 back ? -1.0f : 1.0f};
    runRows(job, qkv.size(0), width, qkv);
  });
}

at::Tensor DeviceOps::attention(const at::Tensor& qkv, const Attention& how,
                                at::Tensor* lse) const {
  return canFlash(qkv, how) ? flashAttention(qkv, how, lse) : groupedAttention(qkv, how, lse);
}

at::Tensor DeviceOps::attentionBackward(const at::Tensor& dy, const AttentionTrace& trace,
                                        const Attention& how, at::Tensor& dBias) const {
  return canFlash(trace.qkv, how) ? flashAttentionBackward(dy, trace, how)
                                  : groupedAttentionBackward(dy, trace, how, dBias);
}

void DeviceOps::addRows(at::Tensor& x, const at::Tensor& table, const at::Tensor& rows) const {
  if (!hasRowJobs(x)) return PortableOps::addRows(x, table, rows);
  withType(x, [&](auto number) {
    using T = decltype(number);
    runRows(kernels::AddRow<T>{pointer<T>(x), reader<T>(table), reader<int64_t>(rows), x.size(1)},
            x.size(0), x.size(1), x);
  });
}

}  // namespace listwise::core::nn
