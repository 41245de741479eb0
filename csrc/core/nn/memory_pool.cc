#include "memory_pool.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <sys/mman.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <mutex>
#include <new>
#include <thread>
#include <unordered_map>
#include <utility>

#include "../error.h"

namespace listwise::core::nn {
namespace {

// Smaller blocks are malloc's business: it keeps those itself.
constexpr size_t smallestPooled = size_t{1} << 18;
constexpr size_t granularity = size_t{1} << 16;

// Stands in for libtorch's CPU allocator from the first MemoryPool on. Large blocks are mapped one
// by one, so that memory goes back to the system whole; malloc would keep it in fragments.
class PoolingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t size) override {
    void* memory = size < smallestPooled ? c10::alloc_cpu(size) : take(size);
    return {memory, memory, &giveBack, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &giveBack; }

  void copy_data(void* to, const void* from, size_t size) const override {
    default_copy_data(to, from, size);
  }

  void enter() {
    const std::lock_guard lock(mutex_);
    if (!installed_) c10::SetCPUAllocator(this, 1);
    installed_ = true;
    ++users_;
  }

  void leave() {
    const std::lock_guard lock(mutex_);
    if (--users_ > 0) return;
    if (keepers_ > 0) {
      moveAside();
    } else {
      release();
    }
  }

  void addKeeper() {
    const std::lock_guard lock(mutex_);
    ++keepers_;
  }

  void removeKeeper() {
    const std::lock_guard lock(mutex_);
    --keepers_;
    mapped_ -= std::exchange(aside_.bytes, 0);
    auto unmapAll = [blocks = std::exchange(aside_.blocks, {})] {
      for (const auto& [size, memory] : blocks) ::munmap(memory, size);
    };
    try {
      std::thread(unmapAll).detach();
    } catch (const std::exception&) {
      unmapAll();
    }
  }

  void setAside() {
    const std::lock_guard lock(mutex_);
    moveAside();
  }

  void shrinkAside(size_t bytes) {
    const std::lock_guard lock(mutex_);
    while (aside_.bytes > bytes) unmapOne(aside_, std::prev(aside_.blocks.end()));
  }

  void makeWay(size_t bytes) {
    const std::lock_guard lock(mutex_);
    unmapAside(bytes);
  }

  int64_t bytesAside() {
    const std::lock_guard lock(mutex_);
    return static_cast<int64_t>(aside_.bytes);
  }

  void trim() {
    const std::lock_guard lock(mutex_);
    release();
  }

  void startPeak() {
    const std::lock_guard lock(mutex_);
    peak_ = mapped_ - aside_.bytes;
  }

  int64_t peak() {
    const std::lock_guard lock(mutex_);
    return static_cast<int64_t>(peak_);
  }

  static PoolingAllocator& instance() {
    // Never destroyed: tensors may outlive every static object.
    static auto* allocator = new PoolingAllocator();
    return *allocator;
  }

 private:
  // Blocks that nobody uses, by size.
  struct Idle {
    std::multimap<size_t, void*> blocks;
    size_t bytes = 0;
  };

  void* take(size_t wanted) {
    const size_t size = (wanted + granularity - 1) / granularity * granularity;
    const std::lock_guard lock(mutex_);
    void* memory = takeFrom(free_, size, MemoryPool::smallestShare);
    if (memory == nullptr) memory = takeFrom(aside_, size, MemoryPool::smallestShareAside);
    if (memory == nullptr) memory = takeNew(size);
    peak_ = std::max(peak_, mapped_ - aside_.bytes);
    return memory;
  }

  // Null where no block fits.
  void* takeFrom(Idle& idle, size_t size, double smallestShare) {
    const auto found = idle.blocks.lower_bound(size);
    if (found == idle.blocks.end() ||
        static_cast<double>(size) < smallestShare * static_cast<double>(found->first))
      return nullptr;
    void* memory = found->second;
    used_[memory] = found->first;
    idle.bytes -= found->first;
    idle.blocks.erase(found);
    return memory;
  }

  void* takeNew(size_t size) {
    unmapAside(size);
    void* memory = map(size);
    if (memory == MAP_FAILED) {
      release();
      memory = map(size);
    }
    if (memory == MAP_FAILED) {
      throw Error("OUT_OF_MEMORY", "Out of memory: the system refused a block of " +
                                       std::to_string(size) +
                                       " bytes; use a smaller tokenBudget or keepBytes.");
    }
    mapped_ += size;
    try {
      used_[memory] = size;
    } catch (const std::bad_alloc&) {
      unmap(memory, size);
      throw;
    }
    // Best effort: large pages make the first touch of a block several times cheaper.
    ::madvise(memory, size, MADV_HUGEPAGE);
    return memory;
  }

  static void giveBack(void* memory) {
    if (memory == nullptr || !instance().takeBack(memory)) c10::free_cpu(memory);
  }

  // False if the block is none of the large ones.
  bool takeBack(void* memory) {
    const std::lock_guard lock(mutex_);
    const auto found = used_.find(memory);
    if (found == used_.end()) return false;
    if (users_ == 0 || !keep(memory, found->second)) unmap(memory, found->second);
    used_.erase(found);
    return true;
  }

  // Must not throw: a tensor is being destroyed, maybe because memory ran out.
  bool keep(void* memory, size_t size) noexcept {
    try {
      free_.blocks.emplace(size, memory);
      free_.bytes += size;
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    }
  }

  static void* map(size_t size) {
    return ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }

  void unmap(void* memory, size_t size) {
    ::munmap(memory, size);
    mapped_ -= size;
  }

  void unmapOne(Idle& idle, std::multimap<size_t, void*>::iterator block) {
    unmap(block->second, block->first);
    idle.bytes -= block->first;
    idle.blocks.erase(block);
  }

  // What was set aside shall not add to what is mapped: at least as much of it goes, the blocks of
  // about that size first, for the work under way seems to have no use for them.
  void unmapAside(size_t size) {
    for (size_t gone = 0; gone < size && !aside_.blocks.empty();) {
      auto block = aside_.blocks.lower_bound(size - gone);
      if (block == aside_.blocks.end()) --block;
      gone += block->first;
      unmapOne(aside_, block);
    }
  }

  void moveAside() {
    aside_.blocks.merge(free_.blocks);
    aside_.bytes += std::exchange(free_.bytes, 0);
  }

  void release() {
    for (auto* idle : {&free_, &aside_}) {
      while (!idle->blocks.empty()) unmapOne(*idle, idle->blocks.begin());
    }
  }

  std::mutex mutex_;
  bool installed_ = false;
  int users_ = 0;
  int keepers_ = 0;
  size_t mapped_ = 0;  // bytes of all large blocks
  size_t peak_ = 0;
  Idle free_;   // of the work under way
  Idle aside_;  // of work before
  std::unordered_map<void*, size_t> used_;
};

}  // namespace

MemoryPool::MemoryPool() {
  PoolingAllocator::instance().enter();
}
MemoryPool::~MemoryPool() {
  PoolingAllocator::instance().leave();
}

MemoryPool::Keeper::Keeper() {
  PoolingAllocator::instance().addKeeper();
}
MemoryPool::Keeper::~Keeper() {
  PoolingAllocator::instance().removeKeeper();
}

void MemoryPool::setAside() {
  PoolingAllocator::instance().setAside();
}
void MemoryPool::shrinkAside(int64_t bytes) {
  PoolingAllocator::instance().shrinkAside(static_cast<size_t>(std::max<int64_t>(0, bytes)));
}
void MemoryPool::makeWay(int64_t bytes) {
  PoolingAllocator::instance().makeWay(static_cast<size_t>(std::max<int64_t>(0, bytes)));
}
int64_t MemoryPool::bytesAside() {
  return PoolingAllocator::instance().bytesAside();
}

void MemoryPool::trim() {
  PoolingAllocator::instance().trim();
}
void MemoryPool::startPeak() {
  PoolingAllocator::instance().startPeak();
}
int64_t MemoryPool::peak() {
  return PoolingAllocator::instance().peak();
}

}  // namespace listwise::core::nn
