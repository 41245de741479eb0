#pragma once
#include <cstdint>
#include <span>

namespace listwise::core {

// How a cross-encoder's logits become a loss; scoring_loss_gradient.h has the definitions.
enum class ScoringLoss { Listwise, Bce };

// Labels of N lists of L pairs, list after list. Borrowed.
struct LabelledLists {
  std::span<const double> labels;  // N x L
  int64_t length = 0;              // L

  int64_t count() const { return length > 0 ? static_cast<int64_t>(labels.size()) / length : 0; }
};

// Throws INVALID_ARGUMENT naming the place, unless there is a label for each of `pairs` pairs in
// whole lists; each is finite and at least 0; each list has one above 0 (listwise); and none is
// above 1 (BCE).
void checkLabels(const LabelledLists& lists, ScoringLoss loss, int64_t pairs);

}  // namespace listwise::core
