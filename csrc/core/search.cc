#include "search.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <limits>
#include <string>

#include "error.h"
#include "kernels/kernels.h"
#include "nn/matmul.h"
#include "nn/memory_pool.h"

namespace listwise::core {
namespace {

constexpr int64_t queryBlock = 256;
constexpr int64_t corpusBlock = 4096;

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
  if (in.corpus.size() % d != 0) fail("corpus to have rows of " + std::to_string(d) + " numbers");
  const size_t best = in.queries.size() / d * static_cast<size_t>(in.k);
  if (!in.bestRows.empty() && (in.bestRows.size() != best || in.bestScores.size() != best)) {
    fail("best to hold " + std::to_string(best) + " rows and scores, queries x k");
  }
  if (in.firstRow + static_cast<int64_t>(in.corpus.size() / d) >
      std::numeric_limits<int32_t>::max()) {
    fail("at most 2^31 - 1 corpus rows");
  }
}

at::Tensor matrix(std::span<const float> numbers, int64_t dimension, int64_t first, int64_t rows) {
  return at::from_blob(const_cast<float*>(numbers.data()) + first * dimension, {rows, dimension},
                       at::kFloat);
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

std::vector<Best> startFrom(const SearchInput& in, int64_t first, int64_t count) {
  std::vector<Best> best(static_cast<size_t>(count), Best(in.k));
  if (in.bestRows.empty()) return best;
  for (int64_t i = 0; i < count * in.k; ++i) {
    const int64_t at = first * in.k + i;
    if (in.bestRows[at] >= 0) best[i / in.k].add({in.bestScores[at], in.bestRows[at]});
  }
  for (auto& b : best) b.shrink();
  return best;
}

}  // namespace

TopK search(const SearchInput& in, const CancelToken& cancel) {
  const at::NoGradGuard noGrad;
  const nn::MemoryPool pool;
  check(in);
  const int64_t queries = static_cast<int64_t>(in.queries.size()) / in.dimension;
  const int64_t rows = static_cast<int64_t>(in.corpus.size()) / in.dimension;
  TopK out;
  out.rows.resize(static_cast<size_t>(queries * in.k));
  out.scores.resize(out.rows.size());
  for (int64_t q = 0; q < queries; q += queryBlock) {
    const int64_t count = std::min(queryBlock, queries - q);
    auto best = startFrom(in, q, count);
    for (int64_t c = 0; c < rows; c += corpusBlock) {
      cancel.throwIfCancelled();
      const int64_t width = std::min(corpusBlock, rows - c);
      const auto scores = nn::matmulTransposed(matrix(in.queries, in.dimension, q, count),
                                               matrix(in.corpus, in.dimension, c, width));
      const float* numbers = scores.const_data_ptr<float>();
      at::parallel_for(0, count, 1, [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i)
          take(numbers + i * width, width, in.firstRow + c, best[i]);
      });
    }
    for (int64_t i = 0; i < count; ++i) {
      best[i].write(out.rows.data() + (q + i) * in.k, out.scores.data() + (q + i) * in.k);
    }
  }
  return out;
}

}  // namespace listwise::core
