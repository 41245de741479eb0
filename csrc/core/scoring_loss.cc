#include "scoring_loss.h"

#include <cmath>
#include <string>

#include "error.h"

namespace listwise::core {
namespace {

[[noreturn]] void refuse(const std::string& expected, int64_t place, int64_t length, double label) {
  throw invalidArgument("Expected " + expected + " as the label of pair " +
                        std::to_string(place % length) + " of list " +
                        std::to_string(place / length) + " of the batch but received " +
                        std::to_string(label) + ".");
}

}  // namespace

void checkLabels(const LabelledLists& lists, ScoringLoss loss, int64_t pairs) {
  const auto count = static_cast<int64_t>(lists.labels.size());
  if (lists.length < 1 || count < 1 || count != pairs || count % lists.length != 0) {
    throw invalidArgument("Expected as many labels as pairs, in whole lists of " +
                          std::to_string(lists.length) + ", but received " + std::to_string(count) +
                          " labels for " + std::to_string(pairs) + " pairs.");
  }
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double label = lists.labels[static_cast<size_t>(i)];
    if (!(label >= 0) || !std::isfinite(label))
      refuse("a finite number of at least 0", i, lists.length, label);
    if (loss == ScoringLoss::Bce && label > 1)
      refuse("a number from 0 to 1", i, lists.length, label);
    sum = i % lists.length == 0 ? label : sum + label;
    const bool isLast = (i + 1) % lists.length == 0;
    if (isLast && loss == ScoringLoss::Listwise && !(sum > 0 && std::isfinite(sum))) {
      throw invalidArgument("Expected a label above 0, and a finite sum, in list " +
                            std::to_string(i / lists.length) + " of the batch but the sum is " +
                            std::to_string(sum) + ".");
    }
  }
}

}  // namespace listwise::core
