#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace listwise::core {

// Texts one after the other without padding: text i is ids[offsets[i]] to ids[offsets[i + 1] - 1].
// Borrowed: the owner keeps the arrays alive while work runs.
struct PackedTexts {
  std::span<const int32_t> ids;
  std::span<const int32_t> offsets;

  int64_t count() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t length(int64_t text) const { return offsets[text + 1] - offsets[text]; }
};

// Throws INVALID_ARGUMENT, naming the field and the place, unless offsets rise from 0 to ids.size()
// in steps of at least 1 and at most maxLength, and every id is in [0, vocabularySize).
void checkPackedTexts(const PackedTexts& texts, const char* name, int64_t vocabularySize,
                      int64_t maxLength);

// Texts of one micro-batch, by their place among all texts of the call.
using MicroBatch = std::vector<int64_t>;

// Cuts texts, sorted by length (longest first; equal lengths in order), into micro-batches of at
// most tokenBudget tokens; a longer text is a micro-batch of its own. Longest first: the peak of
// memory comes at the start.
std::vector<MicroBatch> planMicroBatches(const std::vector<int64_t>& lengths, int64_t tokenBudget);

}  // namespace listwise::core
