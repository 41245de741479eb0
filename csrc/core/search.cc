#include "search.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "error.h"
#include "kernels/kernels.h"
#include "nn/matmul.h"
#include "nn/memory_pool.h"

namespace listwise::core {
namespace {

constexpr int64_t queryBlock = 512;
constexpr int64_t corpusBlock = 2048;
// Rows that a thread checks or widens at a time.
constexpr int64_t rowGrain = 256;

struct Hit {
  float score;
  int32_t row;
};

bool better(const Hit& a, const Hit& b) {
  return a.score > b.score || (a.score == b.score && a.row < b.row);
}

// The best hits of one query. It takes in hits above the bar and lets go of the worst when it holds
// too many.
class Best {
 public:
  explicit Best(int64_t k) : k_(static_cast<size_t>(k)) {}

  float bar() const { return bar_; }

  void add(Hit hit) {
    hits_.push_back(hit);
    if (hits_.size() >= 2 * k_ + 64) shrink();
  }

  // Rows rise, so a later hit with the bar's score is worse than those held: the bar is exclusive.
  void shrink() {
    if (hits_.size() < k_) return;
    std::nth_element(hits_.begin(), hits_.begin() + static_cast<int64_t>(k_) - 1, hits_.end(),
                     better);
    hits_.resize(k_);
    bar_ = hits_.back().score;
  }

  void write(int32_t* rows, float* scores) {
    shrink();
    std::sort(hits_.begin(), hits_.end(), better);
    for (size_t i = 0; i < k_; ++i) {
      rows[i] = i < hits_.size() ? hits_[i].row : -1;
      scores[i] = i < hits_.size() ? hits_[i].score : -std::numeric_limits<float>::infinity();
    }
  }

 private:
  const size_t k_;
  std::vector<Hit> hits_;
  float bar_ = -std::numeric_limits<float>::infinity();
};

void check(const SearchInput& in) {
  const auto fail = [](const std::string& expected) {
    throw invalidArgument("Expected " + expected + ".");
  };
  if (in.dimension < 1) fail("a whole number above 0 for dimension");
  if (in.k < 1) fail("a whole number above 0 for k");
  if (in.k > std::numeric_limits<int32_t>::max()) fail("at most 2^31 - 1 for k");
  if (in.dimension > std::numeric_limits<int32_t>::max()) fail("at most 2^31 - 1 for dimension");
  if (in.firstRow < 0) fail("a whole number of at least 0 for firstRow");
  const auto d = static_cast<size_t>(in.dimension);
  if (in.queries.size() % d != 0) fail("queries to have rows of " + std::to_string(d) + " numbers");
  if (!in.corpus.empty() && !in.corpusBf16.empty()) fail("one corpus, of fp32 or of bf16");
  const size_t numbers = in.corpus.size() + in.corpusBf16.size();
  if (numbers % d != 0) fail("corpus to have rows of " + std::to_string(d) + " numbers");
  const size_t best = in.queries.size() / d * static_cast<size_t>(in.k);
  if (!in.bestRows.empty() && (in.bestRows.size() != best || in.bestScores.size() != best)) {
    fail("best to hold " + std::to_string(best) + " rows and scores, queries x k");
  }
  if (in.firstRow + static_cast<int64_t>(numbers / d) > std::numeric_limits<int32_t>::max()) {
    fail("at most 2^31 - 1 corpus rows");
  }
}

at::Tensor matrix(const float* numbers, int64_t rows, int64_t dimension) {
  return at::from_blob(const_cast<float*>(numbers), {rows, dimension}, at::kFloat);
}

// Whether an exponent is all ones, as those of infinities and of NaN are.
bool anyNotFinite(const float* numbers, int64_t count) {
  constexpr uint32_t exponent = 0x7f800000;
  uint32_t bad = 0;
  for (int64_t i = 0; i < count; ++i) {
    bad |= (std::bit_cast<uint32_t>(numbers[i]) & exponent) == exponent ? 1u : 0u;
  }
  return bad != 0;
}

void requireFinite(const float* numbers, const char* name, int64_t row, int64_t dimension) {
  for (int64_t i = 0; i < dimension; ++i) {
    if (std::isfinite(numbers[i])) continue;
    const std::string received = std::isnan(numbers[i]) ? "NaN"
                                 : numbers[i] > 0       ? "Infinity"
                                                        : "-Infinity";
    throw invalidArgument("Expected finite numbers for " + std::string(name) + " (row " +
                          std::to_string(row) + ") but received " + received + ".");
  }
}

void requireFiniteRows(const float* numbers, const char* name, int64_t firstRow, int64_t rows,
                       int64_t dimension) {
  at::parallel_for(0, rows, rowGrain, [&](int64_t first, int64_t last) {
    if (!anyNotFinite(numbers + first * dimension, (last - first) * dimension)) return;
    for (int64_t row = first; row < last; ++row)
      requireFinite(numbers + row * dimension, name, firstRow + row, dimension);
  });
}

// Rows of the corpus in fp32: where they are, or widened into the buffer.
const float* corpusRows(const SearchInput& in, int64_t first, int64_t rows,
                        std::vector<float>& buffer) {
  if (in.corpusBf16.empty()) return in.corpus.data() + first * in.dimension;
  buffer.resize(static_cast<size_t>(rows * in.dimension));
  const uint16_t* from = in.corpusBf16.data() + first * in.dimension;
  at::parallel_for(0, rows, rowGrain, [&](int64_t firstRow, int64_t lastRow) {
    for (int64_t i = firstRow * in.dimension; i < lastRow * in.dimension; ++i)
      buffer[i] = std::bit_cast<float>(static_cast<uint32_t>(from[i]) << 16);
  });
  return buffer.data();
}

void take(const float* scores, int64_t count, int64_t firstRow, Best& best) {
  thread_local std::vector<int32_t> found;
  found.resize(static_cast<size_t>(count));
  const int64_t hits = kernels::table().above(scores, count, best.bar(), found.data());
  for (int64_t i = 0; i < hits; ++i) {
    const float score = scores[found[i]];
    if (score > best.bar()) best.add({score, static_cast<int32_t>(firstRow + found[i])});
  }
}

std::vector<Best> startFrom(const SearchInput& in, int64_t queries) {
  std::vector<Best> best(static_cast<size_t>(queries), Best(in.k));
  if (in.bestRows.empty()) return best;
  for (int64_t at = 0; at < queries * in.k; ++at) {
    if (in.bestRows[at] >= 0) best[at / in.k].add({in.bestScores[at], in.bestRows[at]});
  }
  for (auto& b : best) b.shrink();
  return best;
}

}  // namespace

TopK search(const SearchInput& in, const CancelToken& cancel) {
  const at::NoGradGuard noGrad;
  const nn::MemoryPool pool;
  check(in);
  const int64_t d = in.dimension;
  const int64_t queries = static_cast<int64_t>(in.queries.size()) / d;
  const int64_t rows = static_cast<int64_t>(in.corpus.size() + in.corpusBf16.size()) / d;
  requireFiniteRows(in.queries.data(), "queries", 0, queries, d);
  auto best = startFrom(in, queries);
  std::vector<float> buffer;
  // The corpus outside: it may come from far, a block of queries stays in the cache.
  for (int64_t c = 0; c < rows; c += corpusBlock) {
    const int64_t width = std::min(corpusBlock, rows - c);
    const float* block = corpusRows(in, c, width, buffer);
    requireFiniteRows(block, "corpus", in.firstRow + c, width, d);
    for (int64_t q = 0; q < queries; q += queryBlock) {
      cancel.throwIfCancelled();
      const int64_t count = std::min(queryBlock, queries - q);
      const auto scores = nn::matmulTransposed(matrix(in.queries.data() + q * d, count, d),
                                               matrix(block, width, d));
      const float* numbers = scores.const_data_ptr<float>();
      at::parallel_for(0, count, 1, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i)
          take(numbers + i * width, width, in.firstRow + c, best[q + i]);
      });
    }
  }
  TopK out;
  out.rows.resize(static_cast<size_t>(queries * in.k));
  out.scores.resize(out.rows.size());
  at::parallel_for(0, queries, 16, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i)
      best[i].write(out.rows.data() + i * in.k, out.scores.data() + i * in.k);
  });
  return out;
}

}  // namespace listwise::core
