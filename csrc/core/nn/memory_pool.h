#pragma once
#include <cstdint>

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

  // A block serves requests down to this share of its size; smaller ones are mapped beside it.
  static constexpr double smallestShare = 0.8;

  // Gives the blocks that nobody uses back to the system: between phases whose blocks differ in
  // size, or when memory ran out.
  static void trim();

  // The most bytes of large blocks, used and kept, since startPeak().
  static void startPeak();
  static int64_t peak();
};

}  // namespace listwise::core::nn
