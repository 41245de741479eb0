#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "job_control.h"

namespace listwise::core {

// [queries, k], best first; equal scores by row, lowest first; row -1 and score -infinity where
// there are too few.
struct TopK {
  std::vector<int32_t> rows;
  std::vector<float> scores;
};

struct SearchInput {
  std::span<const float> queries;
  // One of the two; bf16 numbers are the upper halves of fp32 numbers.
  std::span<const float> corpus;
  std::span<const uint16_t> corpusBf16;
  int64_t dimension = 0;
  int64_t k = 0;
  // Number of the first corpus row: rows are counted from the start of the whole corpus.
  int64_t firstRow = 0;
  // The result over the blocks of the corpus before this one, if there were any.
  std::span<const int32_t> bestRows;
  std::span<const float> bestScores;
};

// The k passages with the largest inner product for each query, exact up to fp32 rounding, without
// holding all scores. Blocks of a corpus must come in order. Numbers that are not finite are
// refused.
TopK search(const SearchInput& input, const CancelToken& cancel);

}  // namespace listwise::core
