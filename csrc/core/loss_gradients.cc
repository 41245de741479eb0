#include "loss_gradients.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/logaddexp.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "list_entries.h"
#include "nn/upload.h"

namespace listwise::core {
namespace {

// Numbers in one block of scores: 8 MB in double precision, so that what is done to them one after
// the other finds them in the cache.
constexpr int64_t blockNumbers = int64_t{1} << 20;
constexpr int64_t mostBlockRows = 1024;
constexpr double infinity = std::numeric_limits<double>::infinity();

// The rows of queries and of a block of passages that slots join, on the CPU, where library
// operations on so few numbers at a time take longer than the sums.
struct SlotRows {
  const double* queries;
  const double* passages;
  int64_t dimension;
  const int64_t* query;  // of each slot
  const int64_t* row;
  int64_t count;

  // Calls with[i, its query's row, its passage's row].
  template <class With>
  void each(int64_t first, int64_t last, With with) const {
    for (int64_t i = first; i < last; ++i)
      with(i, queries + query[i] * dimension, passages + row[i] * dimension);
  }
};

void scoreSlots(const SlotRows& slots, const int64_t* slot, double* scores) {
  at::parallel_for(0, slots.count, 64, [&](int64_t first, int64_t last) {
    slots.each(first, last, [&](int64_t i, const double* q, const double* p) {
      scores[slot[i]] = std::inner_product(q, q + slots.dimension, p, 0.0);
    });
  });
}

// Threads take columns, so that no two write to one number and the order of the sums is fixed.
void addSlotGradients(const SlotRows& slots, const double* weights, double* gradQueries,
                      double* gradPassages) {
  const int64_t d = slots.dimension;
  at::parallel_for(0, d, 64, [&](int64_t first, int64_t last) {
    slots.each(0, slots.count, [&](int64_t i, const double* q, const double* p) {
      double* dq = gradQueries + slots.query[i] * d;
      double* dp = gradPassages + slots.row[i] * d;
      for (int64_t c = first; c < last; ++c) {
        dq[c] += weights[i] * p[c];
        dp[c] += weights[i] * q[c];
      }
    });
  });
}

// One batch's losses; the passes share what is below.
class Batch {
 public:
  explicit Batch(const LossTask& task);

  Losses forward(const CancelToken& cancel);
  void backward(const CancelToken& cancel);

 private:
  struct Range {
    int64_t begin, end;
    int64_t rows() const { return end - begin; }
  };
  void findEntries();
  // Calls step(range, embeddings of the range) for each block of passages.
  template <class Step>
  void eachBlock(const CancelToken& cancel, Step step);
  // Of the slots alone: their scores, and their share of the gradient of queries and of a block.
  void scoreSlotsOf(Range range, const at::Tensor& p);
  void addSlotGradientsOf(Range range, const at::Tensor& p, at::Tensor& gradient);
  SlotRows rowsOf(const ListEntries::Block& entries, const at::Tensor& p) const;
  // Calls step(queries' embeddings, passages' embeddings, entries) for some slots of a block at a
  // time.
  template <class Step>
  void eachSlots(Range range, const at::Tensor& p, Step step) const;
  at::Tensor scoresOf(const at::Tensor& p);
  void toMaskedLogits(at::Tensor& scores, Range range) const;
  void addToSums(at::Tensor& scores, Range range);
  Losses finish();
  void toScoreGradient(at::Tensor& scores, Range range) const;

  const LossTask& task_;
  const LossOptions& options_;
  const int64_t n_, u_, length_;
  // Of blocks and products; double where the slots alone are computed.
  const at::ScalarType precision_;
  const at::Tensor q_;  // [N, d]
  const int64_t blockRows_;
  ListEntries slots_;           // every list slot
  ListEntries masked_;          // X_i
  at::Tensor logMultiplicity_;  // [U] log r_u
  at::Tensor slotScores_;       // [N x L]
  at::Tensor logSums_;          // [N] of the negatives
  at::Tensor logDenominator_;   // [N] L_i
  // [N x L] of both losses, without the dense part of the contrastive one.
  at::Tensor slotGradient_;
  at::Tensor gradQueries_;  // [N, d]
  // Blocks used again and again.
  at::Tensor scoreBlock_, passageBlock_, gradientBlock_;
};

Batch::Batch(const LossTask& task)
    : task_(task),
      options_(task.options),
      n_(task.queries.size(0)),
      u_(task.passages.size(0)),
      length_(task.lists.length),
      precision_(task.asDevice && task.contrastive ? at::kFloat : at::kDouble),
      q_(task.queries.to(precision_)),
      blockRows_(std::clamp<int64_t>(blockNumbers / std::max<int64_t>(1, n_), 1,
                                     std::min(u_, mostBlockRows))) {
  const int64_t d = q_.size(1);
  findEntries();
  const auto doubles = q_.options().dtype(at::kDouble);
  slotScores_ = at::zeros({n_ * length_}, doubles);
  logSums_ = at::full({n_}, -infinity, doubles);
  if (task.contrastive) scoreBlock_ = at::empty({n_ * blockRows_}, q_.options());
  passageBlock_ = at::empty({blockRows_, d}, q_.options());
  if (task.gradPassages.defined()) {
    gradientBlock_ = at::empty({blockRows_, d}, q_.options());
    gradQueries_ = at::zeros_like(q_);
  }
}

void Batch::findEntries() {
  const auto& lists = task_.lists;
  std::vector<double> multiplicity(static_cast<size_t>(u_), 0);
  for (int64_t i = 0; i < n_; ++i) {
    const double bar = options_.maskThreshold * lists.teacher[i * length_];
    for (int64_t j = 0; j < length_; ++j) {
      const int64_t slot = i * length_ + j, row = lists.rows[slot];
      slots_.add(i, row, slot);
      multiplicity[row] += 1;
      if (j == 0 || lists.teacher[slot] > bar) masked_.add(i, row, slot);
    }
  }
  const auto device = q_.device();
  slots_.sort(device);
  masked_.sort(device);
  logMultiplicity_ = nn::upload(
      at::from_blob(multiplicity.data(), {u_}, at::kDouble).log().to(precision_), device);
}

template <class Step>
void Batch::eachBlock(const CancelToken& cancel, Step step) {
  for (int64_t begin = 0; begin < u_; begin += blockRows_) {
    cancel.throwIfCancelled();
    const Range range{begin, std::min(u_, begin + blockRows_)};
    auto p = passageBlock_.narrow(0, 0, range.rows());
    p.copy_(task_.passages.narrow(0, begin, range.rows()));
    step(range, p);
  }
}

template <class Step>
void Batch::eachSlots(Range range, const at::Tensor& p, Step step) const {
  const auto all = slots_.block(range.begin, range.end);
  for (int64_t first = 0; first < all.count; first += mostBlockRows) {
    const int64_t count = std::min(mostBlockRows, all.count - first);
    const auto part = [&](const at::Tensor& index) { return index.narrow(0, first, count); };
    const ListEntries::Block some{count, part(all.queries), part(all.rows), part(all.slots)};
    step(q_.index_select(0, some.queries), p.index_select(0, some.rows), some);
  }
}

SlotRows Batch::rowsOf(const ListEntries::Block& entries, const at::Tensor& p) const {
  return {q_.const_data_ptr<double>(),
          p.const_data_ptr<double>(),
          q_.size(1),
          entries.queries.const_data_ptr<int64_t>(),
          entries.rows.const_data_ptr<int64_t>(),
          entries.count};
}

void Batch::scoreSlotsOf(Range range, const at::Tensor& p) {
  if (!task_.asDevice) {
    const auto entries = slots_.block(range.begin, range.end);
    if (entries.count == 0) return;
    scoreSlots(rowsOf(entries, p), entries.slots.const_data_ptr<int64_t>(),
               slotScores_.mutable_data_ptr<double>());
    return;
  }
  eachSlots(range, p, [&](const at::Tensor& q, const at::Tensor& rows, const auto& entries) {
    slotScores_.index_copy_(0, entries.slots, (q * rows).sum(1));
  });
}

void Batch::addSlotGradientsOf(Range range, const at::Tensor& p, at::Tensor& gradient) {
  if (!task_.asDevice) {
    const auto entries = slots_.block(range.begin, range.end);
    if (entries.count == 0) return;
    const auto weights = slotGradient_.index_select(0, entries.slots);
    addSlotGradients(rowsOf(entries, p), weights.const_data_ptr<double>(),
                     gradQueries_.mutable_data_ptr<double>(), gradient.mutable_data_ptr<double>());
    return;
  }
  eachSlots(range, p, [&](const at::Tensor& q, const at::Tensor& rows, const auto& entries) {
    const auto weights = slotGradient_.index_select(0, entries.slots).unsqueeze(1);
    gradQueries_.index_add_(0, entries.queries, rows * weights);
    gradient.index_add_(0, entries.rows, q * weights);
  });
}

// [N, rows], in the one block there is for scores.
at::Tensor Batch::scoresOf(const at::Tensor& p) {
  auto scores = scoreBlock_.narrow(0, 0, n_ * p.size(0)).view({n_, p.size(0)});
  at::mm_out(scores, q_, p.t());
  return scores;
}

// s / tau + log r with -infinity where the mask is 0.
void Batch::toMaskedLogits(at::Tensor& scores, Range range) const {
  scores.div_(options_.contrastiveTemperature)
      .add_(logMultiplicity_.narrow(0, range.begin, range.rows()));
  const auto masked = masked_.block(range.begin, range.end);
  if (masked.count > 0) scores.index_put_(masked.places(), at::full({}, -infinity, q_.options()));
}

// Adds a block to the log of the negatives' sum, using the scores up.
void Batch::addToSums(at::Tensor& scores, Range range) {
  toMaskedLogits(scores, range);
  // Where all are masked the largest is -infinity, which can't be subtracted.
  const auto most = scores.amax(1).clamp_min_(-1e30);
  scores.sub_(most.unsqueeze(1)).exp_();
  logSums_ = at::logaddexp(logSums_, scores.sum(1, false, at::kDouble).log_().add_(most));
}

Losses Batch::forward(const CancelToken& cancel) {
  eachBlock(cancel, [&](Range range, const at::Tensor& p) {
    if (!task_.contrastive) {
      scoreSlotsOf(range, p);
      return;
    }
    auto scores = scoresOf(p);
    const auto slots = slots_.block(range.begin, range.end);
    if (slots.count > 0)
      slotScores_.index_copy_(0, slots.slots, scores.index(slots.places()).to(at::kDouble));
    addToSums(scores, range);
  });
  return finish();
}

// The losses from the slots' scores and the log of the negatives' sum, and the gradient of the
// slots.
Losses Batch::finish() {
  const double n = static_cast<double>(n_), tau = options_.contrastiveTemperature;
  const auto scores = slotScores_.view({n_, length_});
  const auto teacher = nn::upload(
      at::from_blob(const_cast<double*>(task_.lists.teacher.data()), {n_, length_}, at::kDouble),
      q_.device());
  const auto logT = at::log_softmax(teacher / options_.teacherTemperature, 1);
  const auto logS = at::log_softmax(scores / options_.studentTemperature, 1);
  const auto t = logT.exp();
  // T log T is 0 where T is: the product with a finite difference is, too.
  std::vector sums{(t * (logT.clamp_min(-1e300) - logS.clamp_min(-1e300))).sum()};
  auto gradient =
      (logS.exp() - t).mul_(options_.listwiseWeight / (n * options_.studentTemperature));
  if (task_.contrastive) {
    const auto positive = scores.select(1, 0) / tau;
    logDenominator_ = at::logaddexp(logSums_, positive);
    sums.push_back((logDenominator_ - positive).sum());
    gradient.select(1, 0).add_((positive - logDenominator_).exp().sub_(1),
                               options_.contrastiveWeight / (n * tau));
  }
  slotGradient_ = gradient.view({n_ * length_}).to(precision_);
  // The one place where the losses wait for a GPU.
  const auto totals = at::stack(sums).cpu();
  Losses out;
  out.listwise = totals[0].item<double>() / n;
  out.loss = options_.listwiseWeight * *out.listwise;
  if (task_.contrastive) {
    out.contrastive = totals[1].item<double>() / n;
    out.loss += options_.contrastiveWeight * *out.contrastive;
  }
  return out;
}

// The gradient with respect to a block of scores, in their place.
void Batch::toScoreGradient(at::Tensor& scores, Range range) const {
  const double factor =
      options_.contrastiveWeight / (static_cast<double>(n_) * options_.contrastiveTemperature);
  toMaskedLogits(scores, range);
  scores.sub_(logDenominator_.to(precision_).unsqueeze(1)).exp_().mul_(factor);
  const auto slots = slots_.block(range.begin, range.end);
  if (slots.count > 0)
    scores.index_put_(slots.places(), slotGradient_.index_select(0, slots.slots), true);
}

void Batch::backward(const CancelToken& cancel) {
  const bool dense = task_.contrastive && options_.contrastiveWeight > 0;
  eachBlock(cancel, [&](Range range, const at::Tensor& p) {
    auto gradient = gradientBlock_.narrow(0, 0, range.rows());
    if (dense) {
      auto scores = scoresOf(p);
      toScoreGradient(scores, range);
      gradQueries_.addmm_(scores, p);
      at::mm_out(gradient, scores.t(), q_);
    } else {
      gradient.zero_();
      addSlotGradientsOf(range, p, gradient);
    }
    if (task_.isWritten != nullptr) *task_.isWritten = true;
    auto out = task_.gradPassages.narrow(0, range.begin, range.rows());
    out.copy_(gradient);
  });
  auto out = task_.gradQueries;
  out.copy_(gradQueries_);
}

}  // namespace

Losses computeLosses(const LossTask& task, const CancelToken& cancel) {
  Batch batch(task);
  const auto losses = batch.forward(cancel);
  if (task.gradPassages.defined()) batch.backward(cancel);
  return losses;
}

int64_t lossBytesPerQuery(int64_t dimension) {
  // The query and its gradient in double precision, at most.
  return 16 * dimension;
}

int64_t lossBytesPerSlot() {
  // Score, teacher's score and gradient, and the indices by which they are found.
  return 200;
}

int64_t lossBlockBytes(int64_t dimension) {
  return 8 * (2 * blockNumbers + 6 * mostBlockRows * dimension);
}

}  // namespace listwise::core
