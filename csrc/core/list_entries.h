#pragma once
#include <ATen/core/List.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace listwise::core {

// Places (query, passage) of lists in the order of passages, so that a block of passages is a range
// of them.
class ListEntries {
 public:
  void add(int64_t query, int64_t row, int64_t slot);
  // Call once, when all are added.
  void sort(const at::Device& device);

  // Those whose passage is in a block.
  struct Block {
    int64_t count = 0;
    at::Tensor queries;  // [count]
    at::Tensor rows;     // [count], counted from the block's start
    at::Tensor slots;    // [count]

    // Their places in the block's scores, [N, rows].
    c10::List<std::optional<at::Tensor>> places() const;
  };
  // The block of passages [begin, end).
  Block block(int64_t begin, int64_t end) const;

 private:
  std::vector<int64_t> query_, row_, slot_;
  at::Tensor queryIndex_, rowIndex_, slotIndex_;  // the same on the device
};

// Tensors as an index of at::index.
c10::List<std::optional<at::Tensor>> indices(std::initializer_list<at::Tensor> tensors);

}  // namespace listwise::core
