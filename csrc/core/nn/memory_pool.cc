#include "memory_pool.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <sys/mman.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <new>
#include <unordered_map>

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
    if (--users_ == 0) releaseFree();
  }

  void trim() {
    const std::lock_guard lock(mutex_);
    releaseFree();
  }

  void startPeak() {
    const std::lock_guard lock(mutex_);
    peak_ = mapped_;
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
  void* take(size_t wanted) {
    const size_t size = (wanted + granularity - 1) / granularity * granularity;
    const std::lock_guard lock(mutex_);
    const auto found = free_.lower_bound(size);
    if (found != free_.end() &&
        static_cast<double>(size) >= MemoryPool::smallestShare * found->first) {
      void* memory = found->second;
      used_[memory] = found->first;
      free_.erase(found);
      return memory;
    }
    void* memory = map(size);
    if (memory == MAP_FAILED) {
      releaseFree();
      memory = map(size);
    }
    if (memory == MAP_FAILED) {
      throw Error("OUT_OF_MEMORY", "Out of memory: the system refused a block of " +
                                       std::to_string(size) +
                                       " bytes; use a smaller tokenBudget or keepBytes.");
    }
    mapped_ += size;
    peak_ = std::max(peak_, mapped_);
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
      free_.emplace(size, memory);
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

  void releaseFree() {
    for (const auto& [size, memory] : free_) unmap(memory, size);
    free_.clear();
  }

  std::mutex mutex_;
  bool installed_ = false;
  int users_ = 0;
  size_t mapped_ = 0;  // bytes of large blocks, used and free
  size_t peak_ = 0;
  std::multimap<size_t, void*> free_;
  std::unordered_map<void*, size_t> used_;
};

}  // namespace

MemoryPool::MemoryPool() {
  PoolingAllocator::instance().enter();
}
MemoryPool::~MemoryPool() {
  PoolingAllocator::instance().leave();
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
