#include "trainer.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

#include "batch_pass.h"
#include "encoder_impl.h"
#include "loss_gradients.h"
#include "memory.h"
#include "nn/memory_pool.h"
#include "optimizer.h"

namespace listwise::core {

struct Trainer::Impl {
  Impl(Encoder& e, const OptimizerOptions& options) : encoder(e.impl()), optimizer(options) {}

  void check(const TrainingBatch& batch) const;
  // Gradient and moments, before anything is computed: without room for them there is no step.
  void makeState();

  Encoder::Impl& encoder;
  Optimizer optimizer;
  at::Tensor gradient;  // made by the first step
  ProgressCounter progress;
};

Trainer::Trainer(Encoder& encoder, const OptimizerOptions& options)
    : impl_(std::make_unique<Impl>(encoder, options)) {
  if (encoder.spec().precision == Precision::Int8) {
    throw Error("UNSUPPORTED",
                "Expected a model in fp32 or bf16 to train but this one was loaded with precision "
                "'int8', which is for encoding and scoring; load it with precision 'fp32'.");
  }
}
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

void Trainer::Impl::makeState() {
  if (!gradient.defined()) gradient = at::zeros_like(encoder.parameters.master());
  optimizer.makeMoments(encoder.parameters.master());
}

namespace {

PassOptions passOptions(const TrainingBatch& batch) {
  return {batch.pooling, batch.tokenBudget, batch.keepBytes};
}

// The losses of embeddings, queries first, and their gradient in place of the embeddings.
Losses lossAndGradient(at::Tensor& embeddings, const TrainingBatch& batch, BatchPass& pass,
                       const CancelToken& cancel) {
  const int64_t n = batch.queries.count();
  auto queries = embeddings.narrow(0, 0, n);
  auto passages = embeddings.narrow(0, n, embeddings.size(0) - n);
  const auto losses = pass.withRoom([&] {
    LossTask task{queries, passages, batch.lists, batch.loss};
    task.contrastive = batch.loss.contrastiveWeight > 0;
    task.gradQueries = queries;
    task.gradPassages = passages;
    return computeLosses(task, cancel);
  });
  if (!std::isfinite(losses.loss)) {
    throw Error("NOT_FINITE", "Expected a finite loss but it is " + std::to_string(losses.loss) +
                                  "; the weights were left as they were.");
  }
  return losses;
}

}  // namespace

StepResult Trainer::step(const TrainingBatch& batch, double learningRate,
                         const CancelToken& cancel) {
  const at::NoGradGuard noGrad;
  const nn::MemoryPool pool;
  impl_->check(batch);
  if (!(learningRate >= 0) || !std::isfinite(learningRate)) {
    throw invalidArgument("Expected a number of at least 0 for learningRate.");
  }
  impl_->makeState();
  const PeakMemory peak(impl_->encoder.spec.device);
  const JoinedTexts texts{batch.queries, batch.passages};
  StepResult result;
  result.tokens = texts.tokens();
  impl_->progress.start(BatchPass::work(result.tokens));
  BatchPass pass(impl_->encoder, texts, passOptions(batch), impl_->progress, cancel);
  auto embeddings = pass.forward();
  nn::MemoryPool::trim();
  static_cast<Losses&>(result) = lossAndGradient(embeddings, batch, pass, cancel);
  nn::MemoryPool::trim();
  pass.backward(embeddings, impl_->gradient);
  nn::MemoryPool::trim();
  cancel.throwIfCancelled();
  result.gradNorm =
      impl_->optimizer.step(impl_->encoder.parameters.master(), impl_->gradient, learningRate);
  impl_->encoder.parameters.refreshCompute();
  result.recomputedTokens = pass.recomputedTokens();
  result.tokenBudget = pass.tokenBudget();
  result.keptBytes = pass.keptBytes();
  result.peakBytes = peak.bytes();
  result.shortages = pass.shortages();
  return result;
}

Losses Trainer::evaluate(const TrainingBatch& batch, const CancelToken& cancel) {
  const at::NoGradGuard noGrad;
  const nn::MemoryPool pool;
  impl_->check(batch);
  const JoinedTexts texts{batch.queries, batch.passages};
  impl_->progress.start(texts.tokens());
  auto options = passOptions(batch);
  options.keepBytes = 0;
  BatchPass pass(impl_->encoder, texts, options, impl_->progress, cancel);
  const auto embeddings = pass.forward();
  nn::MemoryPool::trim();
  const int64_t n = batch.queries.count();
  const auto queries = embeddings.narrow(0, 0, n);
  const auto passages = embeddings.narrow(0, n, embeddings.size(0) - n);
  return computeLosses({queries, passages, batch.lists, batch.loss}, cancel);
}

TrainerMemory Trainer::memory() const {
  const auto& master = impl_->encoder.parameters.master();
  const auto bytes = [](const at::Tensor& t) { return t.defined() ? t.numel() * 4 : 0; };
  const int64_t dimension = impl_->encoder.spec.dimension();
  TrainerMemory out;
  out.traceBytesPerToken = impl_->encoder.transformer.traceBytesPerToken();
  out.workBytesPerToken = impl_->encoder.transformer.workBytesPerToken();
  out.bytesPerText = 4 * dimension;
  out.bytesPerQuery = lossBytesPerQuery(dimension);
  out.bytesPerSlot = lossBytesPerSlot();
  out.lossBytes = lossBlockBytes(dimension);
  out.stateBytes = 3 * bytes(master);
  out.stateBytesMade = bytes(impl_->gradient) + impl_->optimizer.momentBytes();
  out.freeDeviceBytes = freeDeviceBytes(impl_->encoder.spec.device);
  return out;
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
