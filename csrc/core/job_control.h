#pragma once
#include <atomic>
#include <cstdint>

#include "error.h"

namespace listwise::core {

// Asked by the caller's thread, polled by the working one: once per micro-batch or block.
class CancelToken {
 public:
  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  void throwIfCancelled() const {
    if (cancelled_.load(std::memory_order_relaxed)) {
      throw Error("ABORTED", "The work was cancelled.");
    }
  }

 private:
  std::atomic<bool> cancelled_{false};
};

// How far work has come, readable from another thread.
class ProgressCounter {
 public:
  void start(int64_t total) {
    done_ = 0;
    total_ = total;
  }
  void add(int64_t amount) { done_ += amount; }
  int64_t done() const { return done_; }
  int64_t total() const { return total_; }

 private:
  std::atomic<int64_t> done_{0};
  std::atomic<int64_t> total_{0};
};

}  // namespace listwise::core
