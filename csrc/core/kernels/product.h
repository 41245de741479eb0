#pragma once
#include "vector.h"

namespace listwise::core::kernels::LISTWISE_ISA {

// A matrix read by rows and columns of any stride, so that a transpose costs nothing.
struct Left {
  const float* data;
  int64_t row;
  int64_t column;
};

// Rows that lie `stride` apart, as wide as whole registers.
struct Right {
  const float* data;
  int64_t stride;
};

struct Result {
  float* data;
  int64_t stride;
  bool add;  // to what is there
};

template <int rows, int columns>
static inline void tile(const Left& a, const Right& b, const Result& c, int64_t depth) {
  Vec sums[rows][columns] = {};
  for (int64_t k = 0; k < depth; ++k) {
    Vec right[columns];
    for (int j = 0; j < columns; ++j) right[j] = load(b.data + k * b.stride + j * lanes);
    for (int i = 0; i < rows; ++i) {
      const float left = a.data[i * a.row + k * a.column];
      for (int j = 0; j < columns; ++j) sums[i][j] += left * right[j];
    }
  }
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) {
      float* out = c.data + i * c.stride + j * lanes;
      store(out, c.add ? load(out) + sums[i][j] : sums[i][j]);
    }
  }
}

template <int columns>
static inline void rowsOfTiles(Left a, const Right& b, Result c, int64_t rows, int64_t depth) {
  constexpr int most = lanes == 16 ? 8 : 4;
  const auto step = [&](int64_t n) {
    a.data += n * a.row;
    c.data += n * c.stride;
    rows -= n;
  };
  while (rows >= most) {
    tile<most, columns>(a, b, c, depth);
    step(most);
  }
  while (rows >= 2) {
    tile<2, columns>(a, b, c, depth);
    step(2);
  }
  if (rows > 0) tile<1, columns>(a, b, c, depth);
}

// C [rows, width] = A [rows, depth] B [depth, width]; width is a multiple of `lanes`.
static inline void product(const Left& a, Right b, Result c, int64_t rows, int64_t width,
                           int64_t depth) {
  while (width > 0) {
    const int64_t taken = width >= 2 * lanes ? 2 * lanes : lanes;
    if (taken > lanes) {
      rowsOfTiles<2>(a, b, c, rows, depth);
    } else {
      rowsOfTiles<1>(a, b, c, rows, depth);
    }
    b.data += taken;
    c.data += taken;
    width -= taken;
  }
}

}  // namespace listwise::core::kernels::LISTWISE_ISA
