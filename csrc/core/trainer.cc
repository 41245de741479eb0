#include "trainer.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "batch_pass.h"
#include "encoder_impl.h"
#include "loss_gradients.h"
#include "memory.h"
#include "nn/memory_pool.h"
#include "optimizer.h"
#include "scoring_loss_gradient.h"

namespace listwise::core {

struct Trainer::Impl {
  Impl(Encoder& e, const OptimizerOptions& options) : encoder(e.impl()), optimizer(options) {}

  void check(const TrainingBatch& batch) const;
  void checkTask(const EmbeddingTask& task) const;
  void checkTask(const PairTask& task) const;
  void checkTexts(const PackedTexts& texts, const char* name) const;
  // Gradient and moments, before anything is computed: without room for them there is no step.
  void makeState();
  bool computesAsDevice() const { return nn::computesAsDevice(encoder.spec); }

  Encoder::Impl& encoder;
  // The next step's activations take the pages of this one's.
  nn::MemoryPool::Keeper keeper;
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
  if (encoder.spec().decoder.layers > 0) {
    throw Error("UNSUPPORTED",
                "Expected a model without a decoder to train but this one scores by a step of T5's "
                "decoder, which is computed forward only.");
  }
}
Trainer::~Trainer() = default;

void Trainer::Impl::check(const TrainingBatch& batch) const {
  std::visit([this](const auto& task) { checkTask(task); }, batch.task);
  if (batch.tokenBudget < 1)
    throw invalidArgument("Expected a whole number above 0 for tokenBudget.");
}

void Trainer::Impl::checkTask(const EmbeddingTask& task) const {
  checkTexts(task.queries, "queries");
  checkTexts(task.passages, "passages");
  checkLists(task.lists, task.queries.count(), task.passages.count());
  checkLossOptions(task.loss);
}

void Trainer::Impl::checkTask(const PairTask& task) const {
  if (encoder.spec.dimension() != 1) {
    throw invalidArgument("Expected a model that gives one number a pair but this one gives " +
                          std::to_string(encoder.spec.dimension()) + ".");
  }
  checkTexts(task.pairs, "pairs");
  checkLabels(task.lists, task.loss, task.pairs.count());
}

void Trainer::Impl::checkTexts(const PackedTexts& texts, const char* name) const {
  const auto& a = encoder.spec.architecture;
  checkPackedTexts(texts, name, a.vocabularySize, a.maxPositions);
}

void Trainer::Impl::makeState() {
  if (!gradient.defined()) gradient = at::zeros_like(encoder.parameters.master());
  optimizer.makeMoments(encoder.parameters.master());
}

namespace {

// What of a batch the encoder reads.
JoinedTexts textsOf(const TrainingBatch& batch) {
  if (const auto* task = std::get_if<PairTask>(&batch.task)) return {task->pairs};
  const auto& task = std::get<EmbeddingTask>(batch.task);
  return {task.queries, task.passages};
}

PassOptions passOptions(const TrainingBatch& batch) {
  const bool normalize = std::holds_alternative<EmbeddingTask>(batch.task);
  return {batch.pooling, normalize, batch.tokenBudget, batch.keepBytes};
}

struct Purpose {
  bool isStep;
  bool asDevice;  // see LossTask
  // Set once the gradient has taken the place of some embeddings.
  bool* isWritten = nullptr;
};

// The losses of embeddings, queries first; for a step their gradient in place of the embeddings.
Losses lossesOf(const at::Tensor& rows, const EmbeddingTask& task, Purpose purpose,
                const CancelToken& cancel) {
  const int64_t n = task.queries.count();
  const auto queries = rows.narrow(0, 0, n);
  const auto passages = rows.narrow(0, n, rows.size(0) - n);
  LossTask work{queries, passages, task.lists, task.loss};
  work.asDevice = purpose.asDevice;
  if (purpose.isStep) {
    work.contrastive = task.loss.contrastiveWeight > 0;
    work.gradQueries = queries;
    work.gradPassages = passages;
    work.isWritten = purpose.isWritten;
  }
  return computeLosses(work, cancel);
}

// The same of logits, whose gradient is written at the very end.
Losses lossesOf(const at::Tensor& rows, const PairTask& task, Purpose purpose, const CancelToken&) {
  Losses out;
  out.loss = computeScoringLoss(rows, task.lists, task.loss, purpose.isStep ? rows : at::Tensor());
  return out;
}

Losses lossesOf(const at::Tensor& rows, const TrainingBatch& batch, Purpose purpose,
                const CancelToken& cancel) {
  return std::visit([&](const auto& task) { return lossesOf(rows, task, purpose, cancel); },
                    batch.task);
}

// Embeddings give way to their gradient block by block, so where memory runs out after the first of
// them, all are made again.
Losses lossAndGradient(at::Tensor& rows, const TrainingBatch& batch, BatchPass& pass, bool asDevice,
                       const CancelToken& cancel) {
  bool isWritten = false;
  const auto losses = pass.withRoom([&] {
    if (std::exchange(isWritten, false)) {
      rows.reset();
      rows = pass.forward();
      nn::MemoryPool::trim();
    }
    return lossesOf(rows, batch, {true, asDevice, &isWritten}, cancel);
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
  const auto texts = textsOf(batch);
  StepResult result;
  result.tokens = texts.tokens();
  // Others may have taken memory since the last step, so that this one was planned with less.
  const int64_t most = std::min(batch.tokenBudget, result.tokens);
  nn::MemoryPool::shrinkAside(batch.keepBytes + impl_->encoder.transformer.microBatchBytes(most));
  impl_->makeState();
  const PeakMemory peak(impl_->encoder.spec.device);
  impl_->progress.start(BatchPass::work(result.tokens));
  BatchPass pass(impl_->encoder, texts, passOptions(batch), impl_->progress, cancel);
  auto rows = pass.forward();
  nn::MemoryPool::setAside();
  static_cast<Losses&>(result) =
      lossAndGradient(rows, batch, pass, impl_->computesAsDevice(), cancel);
  nn::MemoryPool::setAside();
  pass.backward(rows, impl_->gradient);
  nn::MemoryPool::setAside();
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
  const auto texts = textsOf(batch);
  impl_->progress.start(texts.tokens());
  auto options = passOptions(batch);
  options.keepBytes = 0;
  BatchPass pass(impl_->encoder, texts, options, impl_->progress, cancel);
  const auto rows = pass.forward();
  nn::MemoryPool::setAside();
  return lossesOf(rows, batch, {false, impl_->computesAsDevice()}, cancel);
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
  out.idleBytes = nn::MemoryPool::bytesAside();
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
