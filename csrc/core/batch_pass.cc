#include "batch_pass.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <string>
#include <utility>

#include "error.h"
#include "memory.h"
#include "nn/memory_pool.h"
#include "nn/pooling.h"
#include "nn/upload.h"

namespace listwise::core {

BatchPass::BatchPass(const Encoder::Impl& encoder, const JoinedTexts& texts,
                     const PassOptions& options, ProgressCounter& progress,
                     const CancelToken& cancel)
    : encoder_(encoder),
      texts_(texts),
      encodeOptions_{options.pooling, options.normalize, options.tokenBudget, true},
      progress_(progress),
      cancel_(cancel),
      batches_(texts, options.tokenBudget),
      room_(options.keepBytes) {}

bool BatchPass::isOutOfMemory(const std::exception_ptr& exception) {
  return core::isOutOfMemory(exception);
}

int64_t BatchPass::traceBytes(size_t i) const {
  const int64_t tokens = batches_.tokens(i), texts = static_cast<int64_t>(batches_[i].size());
  const bool isOne = nn::readsOneToken(encodeOptions_.pooling);
  return encoder_.transformer.traceBytes(tokens, isOne ? texts : tokens);
}

at::Tensor BatchPass::indexOf(const MicroBatch& batch) const {
  return nn::upload(batch, encoder_.device());
}

at::Tensor BatchPass::forward() {
  auto embeddings = at::empty({texts_.count(), encoder_.spec.dimension()},
                              encoder_.parameters.master().options());
  pooledTokens_ = 0;
  progress_.add(-std::exchange(forwardTokens_, 0));
  for (size_t i = 0; i < batches_.size();) {
    startMicroBatch(i);
    try {
      forwardOne(i, embeddings);
      ++i;
    } catch (...) {
      traces_[i].reset();
      makeRoom(std::current_exception(), i, held_ / 2);
    }
  }
  return embeddings;
}

void BatchPass::startMicroBatch(size_t i) {
  cancel_.throwIfCancelled();
  traces_.resize(batches_.size());
  const int64_t tokens = batches_.tokens(i);
  if (shortages_ > 0) nn::MemoryPool::trim();
  // Blocks of a micro-batch of another size would lie idle beside those of this one, and no plan
  // counts on both.
  const bool areOfUse = tokens <= pooledTokens_ &&
                        static_cast<double>(tokens) >=
                            nn::MemoryPool::smallestShare * static_cast<double>(pooledTokens_);
  if (areOfUse) return;
  nn::MemoryPool::setAside();
  pooledTokens_ = tokens;
}

void BatchPass::forwardOne(size_t i, at::Tensor& embeddings) {
  const int64_t bytes = traceBytes(i);
  const bool keep = bytes <= room_;
  embeddings.index_copy_(
      0, indexOf(batches_[i]),
      encoder_.embed(texts_, batches_[i], encodeOptions_, keep ? &traces_[i].emplace() : nullptr));
  if (keep) {
    room_ -= bytes;
    held_ += bytes;
    keptBytes_ = std::max(keptBytes_, held_);
  }
  progress_.add(batches_.tokens(i));
  forwardTokens_ += batches_.tokens(i);
}

void BatchPass::backward(const at::Tensor& dEmbeddings, at::Tensor& gradient) {
  pooledTokens_ = 0;
  for (size_t i = 0; i < batches_.size();) {
    startMicroBatch(i);
    if (i == 0) {
      gradient.zero_();
      recomputedTokens_ = 0;
    }
    try {
      backwardOne(i, dEmbeddings, gradient);
      ++i;
    } catch (...) {
      // A part of this micro-batch may be in the gradient already.
      makeRoom(std::current_exception(), i, 0);
      for (; i > 0; --i) progress_.add(-backwardCost * batches_.tokens(i - 1));
    }
  }
}

void BatchPass::backwardOne(size_t i, const at::Tensor& dEmbeddings, const at::Tensor& gradient) {
  const int64_t tokens = batches_.tokens(i);
  if (traces_[i]) {
    held_ -= traceBytes(i);
  } else {
    encoder_.embed(texts_, batches_[i], encodeOptions_, &traces_[i].emplace());
    recomputedTokens_ += tokens;
  }
  // Moved out: whether this ends well or not, it is used up.
  auto trace = std::move(*traces_[i]);
  traces_[i].reset();
  const auto rows = dEmbeddings.index_select(0, indexOf(batches_[i]));
  encoder_.embedBackward(rows, encodeOptions_.pooling, trace, gradient);
  progress_.add(backwardCost * tokens);
}

void BatchPass::makeRoom(const std::exception_ptr& exception, size_t failed, int64_t bytesToKeep) {
  if (!core::isOutOfMemory(exception)) std::rethrow_exception(exception);
  // From the first one on, micro-batches find the pool empty: that is room, too.
  const bool isFirst = shortages_++ == 0;
  traces_[failed].reset();
  const bool released = releaseTraces(bytesToKeep);
  const int64_t tokens = batches_.tokens(failed);
  if (!batches_.halve(failed) && !released && !isFirst) {
    throw Error("OUT_OF_MEMORY",
                "Out of memory with a single text of " + std::to_string(tokens) +
                    " tokens and nothing kept beside it, which takes about " +
                    std::to_string((encoder_.transformer.microBatchBytes(tokens) >> 20) + 1) +
                    " MB; use shorter texts, a smaller batch or a machine with more memory. (" +
                    messageOf(exception) + ")");
  }
}

bool BatchPass::releaseTraces(int64_t bytesToKeep) {
  bool any = false;
  for (size_t i = traces_.size(); i-- > 0 && held_ > bytesToKeep;) {
    if (!traces_[i]) continue;
    traces_[i].reset();
    held_ -= traceBytes(i);
    any = true;
  }
  room_ = 0;
  nn::MemoryPool::trim();
  return any;
}

}  // namespace listwise::core
