#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <exception>
#include <optional>
#include <vector>

#include "encoder_impl.h"
#include "job_control.h"
#include "packed_texts.h"

namespace listwise::core {

struct PassOptions {
  Pooling pooling = Pooling::Mean;
  bool normalize = true;
  int64_t tokenBudget = 0;
  // Bytes of activations that forward may keep for backward; micro-batches beyond run forward
  // again.
  int64_t keepBytes = 0;
};

// One batch's texts on their way through the encoder and back, micro-batch by micro-batch. Where
// memory runs out, activations that were kept are let go, what is left is cut into micro-batches of
// half as many tokens, and the micro-batch is done again: the embeddings and the gradient are the
// same, but for the order in which numbers are added.
class BatchPass {
 public:
  // `texts` stays borrowed.
  BatchPass(const Encoder::Impl& encoder, const JoinedTexts& texts, const PassOptions& options,
            ProgressCounter& progress, const CancelToken& cancel);

  // [texts, dimension], of unit length if they are normalised. May be run again where what it gave
  // was lost.
  at::Tensor forward();
  // Sets `gradient`, flat like the weights, to that of the loss whose gradient with respect to
  // forward's embeddings is given. Only ever whole: where memory runs out on the way, it starts
  // again from 0.
  void backward(const at::Tensor& dEmbeddings, at::Tensor& gradient);

  // Runs work that needs memory of its own between the two; where there is none, lets go of all
  // that is kept and runs it again, so it must see to it that it can be.
  template <class Work>
  auto withRoom(Work work) -> decltype(work()) {
    try {
      return work();
    } catch (...) {
      if (!isOutOfMemory(std::current_exception()) || !releaseTraces(0)) throw;
      ++shortages_;
    }
    return work();
  }

  // Tokens whose forward pass ran twice.
  int64_t recomputedTokens() const { return recomputedTokens_; }
  // The most bytes of activations that were kept.
  int64_t keptBytes() const { return keptBytes_; }
  // What is left of the budget after memory ran out.
  int64_t tokenBudget() const { return batches_.tokenBudget(); }
  // How often memory ran out.
  int64_t shortages() const { return shortages_; }

  // What forward and backward of a batch of so many tokens count in `progress`.
  static int64_t work(int64_t tokens) { return (1 + backwardCost) * tokens; }

 private:
  static constexpr int64_t backwardCost = 2;  // of a forward pass

  static bool isOutOfMemory(const std::exception_ptr& exception);
  void startMicroBatch(size_t i);
  void forwardOne(size_t i, at::Tensor& embeddings);
  void backwardOne(size_t i, const at::Tensor& dEmbeddings, const at::Tensor& gradient);
  // After a shortage: throws again what is none, or what can't be helped.
  void makeRoom(const std::exception_ptr& exception, size_t failed, int64_t bytesToKeep);
  // Lets go of activations, the last ones first, until no more than so many bytes are kept, and
  // keeps no new ones. False if there were none to let go.
  bool releaseTraces(int64_t bytesToKeep);
  int64_t traceBytes(size_t i) const;
  at::Tensor indexOf(const MicroBatch& batch) const;

  const Encoder::Impl& encoder_;
  const JoinedTexts texts_;
  const EncodeOptions encodeOptions_;
  ProgressCounter& progress_;
  const CancelToken& cancel_;
  MicroBatches batches_;
  std::vector<std::optional<EmbeddingTrace>> traces_;  // one a micro-batch, the first ones filled
  int64_t room_;                                       // for more of them
  int64_t held_ = 0;                                   // bytes of them
  int64_t keptBytes_ = 0;
  int64_t recomputedTokens_ = 0;
  int64_t shortages_ = 0;
  int64_t forwardTokens_ = 0;  // done by forward, as progress has it
  // Tokens of the micro-batch whose blocks the pool holds ready; none after they were set aside.
  int64_t pooledTokens_ = 0;
};

}  // namespace listwise::core
