#include "packed_texts.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "error.h"

namespace listwise::core {

static void checkOffsets(const PackedTexts& texts, const std::string& name, int64_t maxLength) {
  if (texts.offsets.empty() || texts.offsets.front() != 0) {
    throw invalidArgument("Expected " + name + ".offsets to start with 0.");
  }
  for (int64_t i = 0; i < texts.count(); ++i) {
    const int64_t length = texts.length(i);
    if (length < 1 || length > maxLength) {
      throw invalidArgument("Expected text " + std::to_string(i) + " of " + name +
                            " to have 1 to " + std::to_string(maxLength) + " tokens but it has " +
                            std::to_string(length) + "; truncate it.");
    }
  }
  if (texts.offsets.back() != static_cast<int64_t>(texts.ids.size())) {
    throw invalidArgument("Expected " + name + ".offsets to end with " +
                          std::to_string(texts.ids.size()) + ", the number of ids, but received " +
                          std::to_string(texts.offsets.back()) + ".");
  }
}

static void checkSecondStarts(const PackedTexts& texts, const std::string& name) {
  if (texts.secondStarts.empty()) return;
  if (static_cast<int64_t>(texts.secondStarts.size()) != texts.count()) {
    throw invalidArgument("Expected " + std::to_string(texts.count()) + " numbers for " + name +
                          ".secondStarts but received " +
                          std::to_string(texts.secondStarts.size()) + ".");
  }
  for (int64_t i = 0; i < texts.count(); ++i) {
    const int64_t start = texts.secondStart(i);
    if (start < 0 || start > texts.length(i)) {
      throw invalidArgument("Expected 0 to " + std::to_string(texts.length(i)) + " for " + name +
                            ".secondStarts of text " + std::to_string(i) + " but received " +
                            std::to_string(start) + ".");
    }
  }
}

void checkPackedTexts(const PackedTexts& texts, const char* name, int64_t vocabularySize,
                      int64_t maxLength) {
  checkOffsets(texts, name, maxLength);
  checkSecondStarts(texts, name);
  for (size_t i = 0; i < texts.ids.size(); ++i) {
    if (texts.ids[i] < 0 || texts.ids[i] >= vocabularySize) {
      throw invalidArgument("Expected token ids in [0, " + std::to_string(vocabularySize) +
                            ") for " + std::string(name) + ".ids but received " +
                            std::to_string(texts.ids[i]) + " at " + std::to_string(i) +
                            "; does the tokenizer fit the model?");
    }
  }
}

MicroBatches::MicroBatches(const JoinedTexts& texts, int64_t tokenBudget)
    : texts_(texts), tokenBudget_(tokenBudget) {
  std::vector<int64_t> order(static_cast<size_t>(texts_.count()));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return texts_.length(a) > texts_.length(b); });
  cut(order);
}

void MicroBatches::cut(const std::vector<int64_t>& sorted) {
  int64_t tokens = tokenBudget_;
  for (const int64_t text : sorted) {
    if (tokens + texts_.length(text) > tokenBudget_) {
      batches_.emplace_back();
      tokens = 0;
    }
    batches_.back().push_back(text);
    tokens += texts_.length(text);
  }
}

int64_t MicroBatches::tokens(size_t i) const {
  int64_t tokens = 0;
  for (const int64_t text : batches_[i]) tokens += texts_.length(text);
  return tokens;
}

bool MicroBatches::halve(size_t first) {
  if (batches_[first].size() < 2) return false;
  tokenBudget_ = std::max<int64_t>(1, std::min(tokenBudget_, tokens(first)) / 2);
  std::vector<int64_t> rest;
  for (size_t i = first; i < batches_.size(); ++i) {
    rest.insert(rest.end(), batches_[i].begin(), batches_[i].end());
  }
  batches_.resize(first);
  cut(rest);
  return true;
}

}  // namespace listwise::core
