#include "packed.h"

#include <algorithm>

#include "upload.h"

namespace listwise::core::nn {

int64_t Packed::longest() const {
  int64_t most = 0;
  for (int64_t i = 0; i < count(); ++i) most = std::max(most, offsets[i + 1] - offsets[i]);
  return most;
}

// Rows as RoBERTa counts them; see Architecture::paddingId.
static std::vector<int64_t> rowsAfterPadding(const Packed& packed, const std::vector<int64_t>& ids,
                                             int64_t paddingId) {
  std::vector<int64_t> rows;
  for (int64_t text = 0; text < packed.count(); ++text) {
    int64_t row = paddingId;
    for (int64_t i = packed.offsets[text]; i < packed.offsets[text + 1]; ++i)
      rows.push_back(ids[i] == paddingId ? paddingId : ++row);
  }
  return rows;
}

Packed pack(const JoinedTexts& texts, const MicroBatch& batch, const at::Device& device,
            int64_t paddingId) {
  Packed packed;
  std::vector<int64_t> ids, positions, types, owners, lengths;
  const bool arePairs = texts.arePairs();
  packed.offsets.push_back(0);
  for (const int64_t text : batch) {
    const auto own = texts.idsOf(text);
    const auto length = static_cast<int64_t>(own.size());
    for (int64_t i = 0; i < length; ++i) {
      ids.push_back(own[static_cast<size_t>(i)]);
      positions.push_back(i);
      if (arePairs) types.push_back(i < texts.secondStart(text) ? 0 : 1);
      owners.push_back(packed.count());
    }
    lengths.push_back(length);
    packed.offsets.push_back(packed.offsets.back() + length);
  }
  packed.ids = upload(ids, device);
  packed.positions = upload(positions, device);
  packed.positionRows =
      paddingId < 0 ? packed.positions : upload(rowsAfterPadding(packed, ids, paddingId), device);
  if (arePairs) packed.types = upload(types, device);
  packed.texts = upload(owners, device);
  packed.lengths = upload(lengths, device);
  packed.starts = upload({packed.offsets.begin(), packed.offsets.end() - 1}, device);
  packed.cumulative = upload(packed.offsets, device, at::kInt);
  return packed;
}

}  // namespace listwise::core::nn
