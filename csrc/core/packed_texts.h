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
  // Of pairs: how many tokens of each text come before those of type 1, the second part's. Empty:
  // all tokens are of type 0.
  std::span<const int32_t> secondStarts = {};

  int64_t count() const { return offsets.empty() ? 0 : static_cast<int64_t>(offsets.size()) - 1; }
  int64_t length(int64_t text) const { return offsets[text + 1] - offsets[text]; }
  std::span<const int32_t> idsOf(int64_t text) const {
    return ids.subspan(static_cast<size_t>(offsets[text]), static_cast<size_t>(length(text)));
  }
  int64_t secondStart(int64_t text) const {
    return secondStarts.empty() ? length(text) : secondStarts[static_cast<size_t>(text)];
  }
};

// Texts of two packed arrays seen as one, without copying them: those of `second` come after those
// of `first`.
struct JoinedTexts {
  PackedTexts first;
  PackedTexts second = {};

  int64_t count() const { return first.count() + second.count(); }
  int64_t tokens() const { return static_cast<int64_t>(first.ids.size() + second.ids.size()); }
  std::span<const int32_t> idsOf(int64_t text) const {
    const int64_t before = first.count();
    return text < before ? first.idsOf(text) : second.idsOf(text - before);
  }
  int64_t length(int64_t text) const { return static_cast<int64_t>(idsOf(text).size()); }
  bool arePairs() const { return !first.secondStarts.empty() || !second.secondStarts.empty(); }
  int64_t secondStart(int64_t text) const {
    const int64_t before = first.count();
    return text < before ? first.secondStart(text) : second.secondStart(text - before);
  }
};

// Throws INVALID_ARGUMENT, naming the field and the place, unless offsets rise from 0 to ids.size()
// in steps of at least 1 and at most maxLength, every id is in [0, vocabularySize), and second
// starts, if there are any, lie within their texts.
void checkPackedTexts(const PackedTexts& texts, const char* name, int64_t vocabularySize,
                      int64_t maxLength);

// Texts of one micro-batch, by their place among all texts of the call.
using MicroBatch = std::vector<int64_t>;

// Texts sorted by length (longest first; equal lengths in order) and cut into micro-batches of at
// most tokenBudget tokens; a longer text is a micro-batch of its own. Longest first: the peak of
// memory comes at the start.
class MicroBatches {
 public:
  MicroBatches(const JoinedTexts& texts, int64_t tokenBudget);

  size_t size() const { return batches_.size(); }
  const MicroBatch& operator[](size_t i) const { return batches_[i]; }
  int64_t tokens(size_t i) const;
  int64_t tokenBudget() const { return tokenBudget_; }

  // Cuts the micro-batches from `first` on again, to half of the tokens that `first` has. False,
  // with nothing changed, if that one is a single text.
  bool halve(size_t first);

 private:
  void cut(const std::vector<int64_t>& sorted);

  const JoinedTexts texts_;
  int64_t tokenBudget_;
  std::vector<MicroBatch> batches_;
};

}  // namespace listwise::core
