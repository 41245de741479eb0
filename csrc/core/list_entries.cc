#include "list_entries.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "nn/upload.h"

namespace listwise::core {

c10::List<std::optional<at::Tensor>> indices(std::initializer_list<at::Tensor> tensors) {
  c10::List<std::optional<at::Tensor>> list;
  for (const auto& tensor : tensors) list.push_back(tensor);
  return list;
}

void ListEntries::add(int64_t query, int64_t row, int64_t slot) {
  query_.push_back(query);
  row_.push_back(row);
  slot_.push_back(slot);
}

void ListEntries::sort(const at::Device& device) {
  std::vector<size_t> order(row_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return row_[a] < row_[b]; });
  const auto apply = [&](std::vector<int64_t>& values, at::Tensor& index) {
    std::vector<int64_t> sorted;
    sorted.reserve(order.size());
    for (const size_t from : order) sorted.push_back(values[from]);
    values = std::move(sorted);
    index = nn::upload(values, device);
  };
  apply(query_, queryIndex_);
  apply(slot_, slotIndex_);
  apply(row_, rowIndex_);  // last: the order was computed from it
}

ListEntries::Block ListEntries::block(int64_t begin, int64_t end) const {
  const auto find = [&](int64_t row) {
    return std::lower_bound(row_.begin(), row_.end(), row) - row_.begin();
  };
  const int64_t first = find(begin), count = find(end) - first;
  return {count, queryIndex_.narrow(0, first, count), rowIndex_.narrow(0, first, count).sub(begin),
          slotIndex_.narrow(0, first, count)};
}

c10::List<std::optional<at::Tensor>> ListEntries::Block::places() const {
  return indices({queries, rows});
}

}  // namespace listwise::core
