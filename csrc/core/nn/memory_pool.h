#pragma once
#include <cstdint>

namespace listwise::core::nn {

// While one of these lives, large blocks that CPU tensors give back are kept and handed out again;
// the last one to go frees them, unless there is a Keeper. Without it each of a step's matrices
// comes as fresh pages from the system and goes back: the kernel spends a tenth to a fifth of the
// time on that.
class MemoryPool {
 public:
  MemoryPool();
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  // While one of these lives, what a job's pool would free stays for the next job, set aside. Each
  // one that goes gives back all that was set aside, in a thread of its own: a gigabyte takes some
  // tens of milliseconds.
  class Keeper {
   public:
    Keeper();
    ~Keeper();
    Keeper(const Keeper&) = delete;
    Keeper& operator=(const Keeper&) = delete;
  };

  // A block serves requests down to this share of its size; smaller ones are mapped beside it.
  static constexpr double smallestShare = 0.8;
  // The same of a block that was set aside, which is in no plan of the work under way.
  static constexpr double smallestShareAside = 0.95;

  // Sets the blocks aside that nobody uses: between phases whose blocks differ in size. They serve
  // what they fit; for what they do not fit, as much of them goes back to the system as is mapped.
  static void setAside();
  // Gives blocks that were set aside back to the system until they have no more than that.
  static void shrinkAside(int64_t bytes);
  // Gives so much of them back, for memory that does not come from here.
  static void makeWay(int64_t bytes);
  static int64_t bytesAside();
  // Gives all blocks that nobody uses back to the system, where memory is short.
  static void trim();

  // The most bytes of large blocks, used and kept but not set aside, since startPeak().
  static void startPeak();
  static int64_t peak();
};

}  // namespace listwise::core::nn
