#pragma once

namespace listwise::core::nn {

// While one of these lives, large blocks that CPU tensors give back are kept and handed out again;
// the last one to go frees them. Without it each of a step's matrices comes as fresh pages from the
// system and goes back: the kernel spends a tenth to a fifth of the time on that.
class MemoryPool {
 public:
  MemoryPool();
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;
};

}  // namespace listwise::core::nn
