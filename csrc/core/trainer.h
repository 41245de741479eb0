#pragma once
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "encoder.h"
#include "job_control.h"
#include "losses.h"
#include "optimizer_options.h"
#include "packed_texts.h"
#include "scoring_loss.h"

namespace listwise::core {

// What an embedder learns from: queries, the distinct passages of all lists, and the lists that
// name them by row. Embeddings have unit length.
struct EmbeddingTask {
  PackedTexts queries;
  PackedTexts passages;
  Lists lists;
  LossOptions loss;
};

// What a cross-encoder learns from: each query with each passage of its list, list after list, and
// their labels. The one number that comes out for a pair is its logit.
struct PairTask {
  PackedTexts pairs;
  LabelledLists lists;
  ScoringLoss loss = ScoringLoss::Listwise;
};

struct TrainingBatch {
  std::variant<EmbeddingTask, PairTask> task;
  Pooling pooling = Pooling::Mean;
  int64_t tokenBudget = 0;
  // Bytes of activations that may be kept from the forward pass; micro-batches beyond run forward
  // again.
  int64_t keepBytes = 0;
};

struct StepResult : Losses {
  double gradNorm = 0;
  int64_t tokens = 0;
  // Tokens whose forward pass ran twice.
  int64_t recomputedTokens = 0;
  // The budget that was used in the end: less than was asked for where memory ran out.
  int64_t tokenBudget = 0;
  // Bytes of activations kept for the backward pass.
  int64_t keptBytes = 0;
  // The most bytes the step took beside weights, gradient and moments; see PeakMemory.
  int64_t peakBytes = 0;
  // How often memory ran out and a part was done again with less.
  int64_t shortages = 0;
};

// What a plan of a step's memory is made of.
struct TrainerMemory {
  // Activations of one token, kept for the backward pass.
  int64_t traceBytesPerToken = 0;
  // What one token of the micro-batch under way takes beside them.
  int64_t workBytesPerToken = 0;
  // The embedding of one text.
  int64_t bytesPerText = 0;
  // What the loss takes for each query and for each slot of its list, beside embeddings.
  int64_t bytesPerQuery = 0;
  int64_t bytesPerSlot = 0;
  // The loss's blocks, whatever the batch.
  int64_t lossBytes = 0;
  // Gradient and moments together, and how much of it is there already: the first step makes them.
  int64_t stateBytes = 0;
  int64_t stateBytesMade = 0;
  // Held in RAM from earlier steps for the next one, which may plan with it as with free memory.
  int64_t idleBytes = 0;
  // Free on the device; nothing on the CPU.
  std::optional<int64_t> freeDeviceBytes;
};

// Trains an encoder, which must outlive it. Not for two threads at once.
class Trainer {
 public:
  Trainer(Encoder& encoder, const OptimizerOptions& options);
  ~Trainer();

  // One optimiser step with the gradient of the whole batch, however it is cut. The weights change
  // at the very end: where it throws they are as before, unless the message says that the new
  // weights are not finite. The contrastive loss is computed only if it has a weight.
  StepResult step(const TrainingBatch& batch, double learningRate, const CancelToken& cancel);
  Losses evaluate(const TrainingBatch& batch, const CancelToken& cancel);

  // Tokens done of the step under way; those of the backward pass count twice, as they cost.
  const ProgressCounter& progress() const;
  int64_t steps() const;
  TrainerMemory memory() const;
  // The last step's gradient after clipping.
  std::vector<float> gradient(const std::string& name) const;
  void saveState(const std::string& file) const;
  void loadState(const std::string& file);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace listwise::core
