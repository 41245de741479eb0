#pragma once
#include <memory>
#include <string>
#include <vector>

#include "encoder.h"
#include "job_control.h"
#include "losses.h"
#include "optimizer_options.h"
#include "packed_texts.h"

namespace listwise::core {

// One batch: queries, the distinct passages of all lists, and the lists that name them by row.
struct TrainingBatch {
  PackedTexts queries;
  PackedTexts passages;
  Lists lists;
  LossOptions loss;
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
};

// Trains an encoder, which must outlive it. Not for two threads at once.
class Trainer {
 public:
  Trainer(Encoder& encoder, const OptimizerOptions& options);
  ~Trainer();

  // One optimiser step with the gradient of the whole batch, however it is cut. The weights change
  // at the very end: where it throws they are as before, unless the
  // message says that the new weights are not finite.
  StepResult step(const TrainingBatch& batch, double learningRate, const CancelToken& cancel);
  Losses evaluate(const TrainingBatch& batch, const CancelToken& cancel);

  // Tokens done of the step under way; those of the backward pass count twice, as they cost.
  const ProgressCounter& progress() const;
  int64_t steps() const;
  // The last step's gradient after clipping.
  std::vector<float> gradient(const std::string& name) const;
  void saveState(const std::string& file) const;
  void loadState(const std::string& file);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace listwise::core
