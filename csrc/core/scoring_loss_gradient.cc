#include "scoring_loss_gradient.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/sigmoid.h>

#include "nn/upload.h"

namespace listwise::core {

double computeScoringLoss(const at::Tensor& logits, const LabelledLists& lists, ScoringLoss loss,
                          at::Tensor gradient) {
  const int64_t n = lists.count(), length = lists.length;
  const auto z = logits.to(at::kDouble).view({n, length});
  const auto y =
      nn::upload(at::from_blob(const_cast<double*>(lists.labels.data()), {n, length}, at::kDouble),
                 z.device());
  at::Tensor total, dz;
  double count = 0;
  if (loss == ScoringLoss::Listwise) {
    const auto p = y / y.sum(1, true);
    const auto logS = at::log_softmax(z, 1);
    total = -(p * logS).sum();
    dz = logS.exp().sub_(p);
    count = static_cast<double>(n);
  } else {
    // log(1 + e^-|z|) + max(z, 0) is -log(1 - s(z)), whatever the sign and size of z.
    total = (z.abs().neg_().exp_().log1p_() + z.clamp_min(0) - y * z).sum();
    dz = at::sigmoid(z).sub_(y);
    count = static_cast<double>(n * length);
  }
  const double mean = total.item<double>() / count;
  if (gradient.defined()) gradient.copy_(dz.div_(count).view(gradient.sizes()));
  return mean;
}

}  // namespace listwise::core
