#pragma once
#include <utility>

#include "kernels.h"
#include "vector.h"

namespace listwise::core::kernels::LISTWISE_ISA {

// The lower or the upper halves of a and b: a number of a, one of b, the next of a, ...
template <bool isUpper, size_t... I>
static inline Vec interleave(Vec a, Vec b, std::index_sequence<I...>) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, (I % 2 * lanes + isUpper * lanes / 2 + I / 2)...);
#else  // GCC knows the other from version 12 on
  return __builtin_shuffle(
      a, b, IntVec{static_cast<int32_t>(I % 2 * lanes + isUpper * lanes / 2 + I / 2)...});
#endif
}

// A square of registers. Interleaving row i with row i + lanes / 2 moves the numbers by one bit of
// their place; as many times as a place has bits, and rows are columns.
static inline void transposeSquare(Vec* square) {
  constexpr auto all = std::make_index_sequence<static_cast<size_t>(lanes)>();
  for (int64_t bit = 1; bit < lanes; bit *= 2) {
    Vec next[lanes];
    for (int64_t i = 0; i < lanes / 2; ++i) {
      next[2 * i] = interleave<false>(square[i], square[i + lanes / 2], all);
      next[2 * i + 1] = interleave<true>(square[i], square[i + lanes / 2], all);
    }
    for (int64_t i = 0; i < lanes; ++i) square[i] = next[i];
  }
}

// lanes columns. The order of a column's sum is that of its rows.
static void transposeColumns(const Transposition& t, int64_t column) {
  const float* in = t.in + column;
  float* out = t.out + column * t.rows;
  Vec total = {};
  int64_t row = 0;
  for (; row + lanes <= t.rows; row += lanes) {
    Vec square[lanes];
    for (int64_t i = 0; i < lanes; ++i) {
      square[i] = load(in + (row + i) * t.columns);
      total += square[i];
    }
    transposeSquare(square);
    for (int64_t i = 0; i < lanes; ++i) store(out + i * t.rows + row, square[i]);
  }
  for (; row < t.rows; ++row) {
    const Vec v = load(in + row * t.columns);
    total += v;
    for (int64_t i = 0; i < lanes; ++i) out[i * t.rows + row] = v[i];
  }
  if (t.sums != nullptr) store(t.sums + column, load(t.sums + column) + total);
}

static void transpose(const Transposition& t, int64_t first, int64_t last) {
  int64_t column = first;
  for (; column + lanes <= last; column += lanes) transposeColumns(t, column);
  for (; column < last; ++column) {
    float total = 0;
    for (int64_t row = 0; row < t.rows; ++row) {
      const float x = t.in[row * t.columns + column];
      total += x;
      t.out[column * t.rows + row] = x;
    }
    if (t.sums != nullptr) t.sums[column] += total;
  }
}

}  // namespace listwise::core::kernels::LISTWISE_ISA
