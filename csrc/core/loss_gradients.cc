#include "loss_gradients.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/List.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/logaddexp.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <limits>
#include <numeric>

namespace listwise::core {
namespace {

// Numbers in one block of scores: 32 MB in double precision.
constexpr int64_t blockNumbers = int64_t{1} << 22;
constexpr double infinity = std::numeric_limits<double>::infinity();

c10::List<std::optional<at::Tensor>> indices(std::initializer_list<at::Tensor> tensors) {
  c10::List<std::optional<at::Tensor>> list;
  for (const auto& tensor : tensors) list.push_back(tensor);
  return list;
}

// Places (query, passage) in the order of passages, so that a block of passages is a range of them.
struct Entries {
  std::vector<int64_t> query, row, slot;
  at::Tensor queryIndex, rowIndex, slotIndex;  // the same on the device

  void add(int64_t q, int64_t r, int64_t s) {
    query.push_back(q);
    row.push_back(r);
    slot.push_back(s);
  }

  void sort(const at::Device& device) {
    std::vector<size_t> order(row.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return row[a] < row[b]; });
    const auto apply = [&](std::vector<int64_t>& values, at::Tensor& index) {
      auto sorted = at::empty({static_cast<int64_t>(order.size())}, at::kLong);
      for (size_t i = 0; i < order.size(); ++i) sorted.data_ptr<int64_t>()[i] = values[order[i]];
      std::copy_n(sorted.data_ptr<int64_t>(), order.size(), values.begin());
      index = sorted.to(device);
    };
    apply(query, queryIndex);
    apply(slot, slotIndex);
    apply(row, rowIndex);  // last: the order was computed from it
  }

  // Those whose passage is in [begin, end): their slots, and their places in a block of scores of
  // these passages.
  struct Block {
    int64_t count = 0;
    at::Tensor slots;
    c10::List<std::optional<at::Tensor>> places;
  };
  Block block(int64_t begin, int64_t end) const {
    const auto find = [&](int64_t r) {
      return std::lower_bound(row.begin(), row.end(), r) - row.begin();
    };
    const int64_t first = find(begin), count = find(end) - first;
    return {
        count, slotIndex.narrow(0, first, count),
        indices({queryIndex.narrow(0, first, count), rowIndex.narrow(0, first, count).sub(begin)})};
  }
};

// One batch's losses; the passes share what is below.
class Batch {
 public:
  Batch(const at::Tensor& queries, const at::Tensor& passages, const Lists& lists,
        const LossOptions& options)
      : q_(queries.to(at::kDouble)),
        passages_(passages),
        lists_(lists),
        options_(options),
        n_(queries.size(0)),
        u_(passages.size(0)) {
    findEntries();
  }

  Losses forward(const CancelToken& cancel);
  void backward(const CancelToken& cancel, LossTensors& out);

 private:
  void findEntries();
  int64_t blockRows() const {
    return std::max<int64_t>(1, std::min(u_, blockNumbers / std::max<int64_t>(1, n_)));
  }
  at::Tensor passageBlock(int64_t begin, int64_t end) const {
    return passages_.narrow(0, begin, end - begin).to(at::kDouble);
  }
  at::Tensor maskedLogits(const at::Tensor& scores, int64_t begin, int64_t end) const;
  Losses finish(const at::Tensor& logSums);
  at::Tensor scoreGradient(const at::Tensor& scores, int64_t begin, int64_t end) const;

  const at::Tensor q_;  // [N, d] double
  const at::Tensor& passages_;
  const Lists& lists_;
  const LossOptions& options_;
  const int64_t n_, u_;
  Entries slots_;               // every list slot
  Entries masked_;              // X_i
  at::Tensor logMultiplicity_;  // [U] log r_u
  at::Tensor slotScores_;       // [N x L]
  at::Tensor
      slotGradient_;  // [N x L] of both losses, without the dense part of the contrastive one
  at::Tensor logDenominator_;  // [N] L_i
};

void Batch::findEntries() {
  const int64_t length = lists_.length;
  std::vector<double> multiplicity(static_cast<size_t>(u_), 0);
  for (int64_t i = 0; i < n_; ++i) {
    const double bar = options_.maskThreshold * lists_.teacher[i * length];
    for (int64_t j = 0; j < length; ++j) {
      const int64_t slot = i * length + j, row = lists_.rows[slot];
      slots_.add(i, row, slot);
      multiplicity[row] += 1;
      if (j == 0 || lists_.teacher[slot] > bar) masked_.add(i, row, slot);
    }
  }
  const auto device = passages_.device();
  slots_.sort(device);
  masked_.sort(device);
  logMultiplicity_ = at::from_blob(multiplicity.data(), {u_}, at::kDouble).log().to(device);
  slotScores_ = at::zeros({n_ * length}, q_.options());
}

// s / tau + log r with -infinity where the mask is 0.
at::Tensor Batch::maskedLogits(const at::Tensor& scores, int64_t begin, int64_t end) const {
  auto logits =
      scores / options_.contrastiveTemperature + logMultiplicity_.narrow(0, begin, end - begin);
  const auto masked = masked_.block(begin, end);
  if (masked.count > 0) logits.index_put_(masked.places, at::full({}, -infinity, q_.options()));
  return logits;
}

Losses Batch::forward(const CancelToken& cancel) {
  auto logSums = at::full({n_}, -infinity, q_.options());
  for (int64_t begin = 0; begin < u_; begin += blockRows()) {
    cancel.throwIfCancelled();
    const int64_t end = std::min(u_, begin + blockRows());
    const auto scores = at::mm(q_, passageBlock(begin, end).t());
    const auto slots = slots_.block(begin, end);
    if (slots.count > 0) slotScores_.index_put_(indices({slots.slots}), scores.index(slots.places));
    logSums = at::logaddexp(logSums, at::logsumexp(maskedLogits(scores, begin, end), {1}));
  }
  return finish(logSums);
}

// The losses from the slots' scores and the log of the negatives' sum, and the gradient of the
// slots.
Losses Batch::finish(const at::Tensor& logSums) {
  const int64_t length = lists_.length;
  const double n = static_cast<double>(n_), tau = options_.contrastiveTemperature;
  const auto scores = slotScores_.view({n_, length});
  const auto teacher =
      at::from_blob(const_cast<double*>(lists_.teacher.data()), {n_, length}, at::kDouble)
          .to(q_.device());
  const auto logT = at::log_softmax(teacher / options_.teacherTemperature, 1);
  const auto logS = at::log_softmax(scores / options_.studentTemperature, 1);
  const auto t = logT.exp();
  const auto positive = scores.select(1, 0) / tau;
  logDenominator_ = at::logaddexp(logSums, positive);
  Losses out;
  // T log T is 0 where T is: the product with a finite difference is, too.
  out.listwise = (t * (logT.clamp_min(-1e300) - logS.clamp_min(-1e300))).sum().item<double>() / n;
  out.contrastive = (logDenominator_ - positive).sum().item<double>() / n;
  out.loss = options_.listwiseWeight * out.listwise + options_.contrastiveWeight * out.contrastive;
  auto gradient =
      (logS.exp() - t).mul_(options_.listwiseWeight / (n * options_.studentTemperature));
  gradient.select(1, 0).add_((positive - logDenominator_).exp().sub_(1),
                             options_.contrastiveWeight / (n * tau));
  slotGradient_ = gradient.view({n_ * length});
  return out;
}

// [N, block] gradient with respect to the scores.
at::Tensor Batch::scoreGradient(const at::Tensor& scores, int64_t begin, int64_t end) const {
  const double factor =
      options_.contrastiveWeight / (static_cast<double>(n_) * options_.contrastiveTemperature);
  auto gradient =
      maskedLogits(scores, begin, end).sub_(logDenominator_.unsqueeze(1)).exp_().mul_(factor);
  const auto slots = slots_.block(begin, end);
  if (slots.count > 0)
    gradient.index_put_(slots.places, slotGradient_.index_select(0, slots.slots), true);
  return gradient;
}

void Batch::backward(const CancelToken& cancel, LossTensors& out) {
  auto gradQueries = at::zeros_like(q_);
  out.gradPassages = at::empty_like(passages_);
  for (int64_t begin = 0; begin < u_; begin += blockRows()) {
    cancel.throwIfCancelled();
    const int64_t end = std::min(u_, begin + blockRows());
    const auto p = passageBlock(begin, end);
    const auto gradient = scoreGradient(at::mm(q_, p.t()), begin, end);
    gradQueries.addmm_(gradient, p);
    out.gradPassages.narrow(0, begin, end - begin).copy_(at::mm(gradient.t(), q_));
  }
  out.gradQueries = gradQueries.to(passages_.scalar_type());
}

}  // namespace

LossTensors computeLosses(const at::Tensor& queries, const at::Tensor& passages, const Lists& lists,
                          const LossOptions& options, bool withGradients,
                          const CancelToken& cancel) {
  Batch batch(queries, passages, lists, options);
  LossTensors out;
  out.losses = batch.forward(cancel);
  if (withGradients) batch.backward(cancel, out);
  return out;
}

}  // namespace listwise::core
