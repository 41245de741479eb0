#include "trainer.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <optional>

#include "encoder_impl.h"
#include "loss_gradients.h"
#include "nn/memory_pool.h"
#include "optimizer.h"

namespace listwise::core {
namespace {

constexpr int64_t backwardCost = 2;  // of a forward pass

// The queries and passages of a batch as one row of texts, queries first: both go through the same
// encoder.
struct JoinedTexts {
  explicit JoinedTexts(const TrainingBatch& batch) : queries(batch.queries.count()) {
    ids.assign(batch.queries.ids.begin(), batch.queries.ids.end());
    ids.insert(ids.end(), batch.passages.ids.begin(), batch.passages.ids.end());
    offsets.assign(batch.queries.offsets.begin(), batch.queries.offsets.end());
    for (int64_t i = 1; i <= batch.passages.count(); ++i) {
      offsets.push_back(batch.queries.offsets.back() + batch.passages.offsets[i]);
    }
    for (int64_t i = 0; i < texts().count(); ++i) lengths.push_back(texts().length(i));
  }
  PackedTexts texts() const { return {ids, offsets}; }

  int64_t queries;
  std::vector<int32_t> ids, offsets;
  std::vector<int64_t> lengths;
};

int64_t tokensOf(const MicroBatch& batch, const std::vector<int64_t>& lengths) {
  int64_t tokens = 0;
  for (const int64_t text : batch) tokens += lengths[text];
  return tokens;
}

at::Tensor indexOf(const MicroBatch& batch, const at::Device& device) {
  auto index = at::empty({static_cast<int64_t>(batch.size())}, at::kLong);
  std::copy(batch.begin(), batch.end(), index.data_ptr<int64_t>());
  return index.to(device);
}

}  // namespace

struct Trainer::Impl {
  Impl(Encoder& e, const OptimizerOptions& options) : encoder(e.impl()), optimizer(options) {}

  void check(const TrainingBatch& batch) const;
  // Embeddings of all texts; keeps the traces of the first micro-batches, as many as keepBytes
  // allow.
  at::Tensor forward(const TrainingBatch& batch, const JoinedTexts& joined,
                     const std::vector<MicroBatch>& plan,
                     std::vector<std::optional<EmbeddingTrace>>* traces, const CancelToken& cancel);
  // Returns the tokens whose forward pass ran again.
  int64_t backward(const TrainingBatch& batch, const JoinedTexts& joined,
                   const std::vector<MicroBatch>& plan,
                   std::vector<std::optional<EmbeddingTrace>>& traces,
                   const at::Tensor& dEmbeddings, const CancelToken& cancel);

  Encoder::Impl& encoder;
  Optimizer optimizer;
  at::Tensor gradient;  // made by the first step
  ProgressCounter progress;
};

Trainer::Trainer(Encoder& encoder, const OptimizerOptions& options)
    : impl_(std::make_unique<Impl>(encoder, options)) {}
Trainer::~Trainer() = default;

void Trainer::Impl::check(const TrainingBatch& batch) const {
  const auto& a = encoder.spec.architecture;
  checkPackedTexts(batch.queries, "queries", a.vocabularySize, a.maxPositions);
  checkPackedTexts(batch.passages, "passages", a.vocabularySize, a.maxPositions);
  checkLists(batch.lists, batch.queries.count(), batch.passages.count());
  checkLossOptions(batch.loss);
  if (batch.tokenBudget < 1)
    throw invalidArgument("Expected a whole number above 0 for tokenBudget.");
}

at::Tensor Trainer::Impl::forward(const TrainingBatch& batch, const JoinedTexts& joined,
                                  const std::vector<MicroBatch>& plan,
                                  std::vector<std::optional<EmbeddingTrace>>* traces,
                                  const CancelToken& cancel) {
  const auto& master = encoder.parameters.master();
  auto embeddings =
      at::empty({joined.texts().count(), encoder.spec.architecture.hiddenSize}, master.options());
  const EncodeOptions options{batch.pooling, true, batch.tokenBudget};
  int64_t room = batch.keepBytes;
  for (size_t i = 0; i < plan.size(); ++i) {
    cancel.throwIfCancelled();
    const int64_t tokens = tokensOf(plan[i], joined.lengths);
    EmbeddingTrace* trace = nullptr;
    if (traces != nullptr && room >= tokens * encoder.transformer.traceBytesPerToken()) {
      room -= tokens * encoder.transformer.traceBytesPerToken();
      trace = &(*traces)[i].emplace();
    }
    embeddings.index_copy_(0, indexOf(plan[i], master.device()),
                           encoder.embed(joined.texts(), plan[i], options, trace));
    progress.add(tokens);
  }
  return embeddings;
}

int64_t Trainer::Impl::backward(const TrainingBatch& batch, const JoinedTexts& joined,
                                const std::vector<MicroBatch>& plan,
                                std::vector<std::optional<EmbeddingTrace>>& traces,
                                const at::Tensor& dEmbeddings, const CancelToken& cancel) {
  const EncodeOptions options{batch.pooling, true, batch.tokenBudget};
  int64_t recomputed = 0;
  for (size_t i = 0; i < plan.size(); ++i) {
    cancel.throwIfCancelled();
    const int64_t tokens = tokensOf(plan[i], joined.lengths);
    if (!traces[i]) {
      encoder.embed(joined.texts(), plan[i], options, &traces[i].emplace());
      recomputed += tokens;
    }
    const auto rows = dEmbeddings.index_select(0, indexOf(plan[i], dEmbeddings.device()));
    encoder.embedBackward(rows, batch.pooling, *traces[i], gradient);
    traces[i].reset();
    progress.add(backwardCost * tokens);
  }
  return recomputed;
}

StepResult Trainer::step(const TrainingBatch& batch, double learningRate,
                         const CancelToken& cancel) {
  const at::NoGradGuard noGrad;
  const nn::MemoryPool pool;
  impl_->check(batch);
  if (!(learningRate >= 0) || !std::isfinite(learningRate)) {
    throw invalidArgument("Expected a number of at least 0 for learningRate.");
  }
  auto& master = impl_->encoder.parameters.master();
  if (impl_->gradient.defined()) {
    impl_->gradient.zero_();
  } else {
    impl_->gradient = at::zeros_like(master);
  }
  const JoinedTexts joined(batch);
  const auto plan = planMicroBatches(joined.lengths, batch.tokenBudget);
  std::vector<std::optional<EmbeddingTrace>> traces(plan.size());
  StepResult result;
  result.tokens = static_cast<int64_t>(joined.ids.size());
  impl_->progress.start((1 + backwardCost) * result.tokens);
  auto embeddings = impl_->forward(batch, joined, plan, &traces, cancel);
  const int64_t n = joined.queries, u = embeddings.size(0) - n;
  const auto loss = computeLosses(embeddings.narrow(0, 0, n), embeddings.narrow(0, n, u),
                                  batch.lists, batch.loss, true, cancel);
  static_cast<Losses&>(result) = loss.losses;
  if (!std::isfinite(result.loss)) {
    throw Error("NOT_FINITE", "Expected a finite loss but it is " + std::to_string(result.loss) +
                                  "; the weights were left as they were.");
  }
  embeddings.narrow(0, 0, n).copy_(loss.gradQueries);
  embeddings.narrow(0, n, u).copy_(loss.gradPassages);
  result.recomputedTokens = impl_->backward(batch, joined, plan, traces, embeddings, cancel);
  cancel.throwIfCancelled();
  result.gradNorm = impl_->optimizer.step(master, impl_->gradient, learningRate);
  impl_->encoder.parameters.refreshCompute();
  if (!std::isfinite(at::linalg_vector_norm(master, 2, {}, false, at::kDouble).item<double>())) {
    throw Error("NOT_FINITE",
                "Expected finite weights after the step but some are NaN or infinite; "
                "use a lower learning rate.");
  }
  return result;
}

Losses Trainer::evaluate(const TrainingBatch& batch, const CancelToken& cancel) {
  const at::NoGradGuard noGrad;
  const nn::MemoryPool pool;
  impl_->check(batch);
  const JoinedTexts joined(batch);
  impl_->progress.start(static_cast<int64_t>(joined.ids.size()));
  const auto plan = planMicroBatches(joined.lengths, batch.tokenBudget);
  const auto embeddings = impl_->forward(batch, joined, plan, nullptr, cancel);
  const int64_t n = joined.queries;
  return computeLosses(embeddings.narrow(0, 0, n), embeddings.narrow(0, n, embeddings.size(0) - n),
                       batch.lists, batch.loss, false, cancel)
      .losses;
}

const ProgressCounter& Trainer::progress() const {
  return impl_->progress;
}
int64_t Trainer::steps() const {
  return impl_->optimizer.steps();
}

std::vector<float> Trainer::gradient(const std::string& name) const {
  const at::NoGradGuard noGrad;
  const auto& place = impl_->encoder.parameters.fileTensor(name);
  if (!impl_->gradient.defined())
    throw invalidArgument("Expected a step before gradient(); none was taken.");
  const auto values = impl_->gradient.narrow(0, place.offset, place.elements).cpu().contiguous();
  const auto* first = values.const_data_ptr<float>();
  return {first, first + place.elements};
}

void Trainer::saveState(const std::string& file) const {
  const at::NoGradGuard noGrad;
  impl_->optimizer.save(file);
}

void Trainer::loadState(const std::string& file) {
  const at::NoGradGuard noGrad;
  impl_->optimizer.load(file, impl_->encoder.parameters.master());
}

}  // namespace listwise::core
