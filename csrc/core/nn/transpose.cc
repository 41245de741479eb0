#include "transpose.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>

namespace listwise::core::nn {
namespace {

constexpr int64_t tile = 16;
// Columns that one thread takes: whole cache lines of what is read, and pages of what is written.
constexpr int64_t grain = 32;

struct Matrix {
  const float* data;
  int64_t rows, columns;
};

// A tile at a time, so that both sides are read and written by cache lines.
void transposeTile(const Matrix& in, int64_t row, int64_t column, float* out) {
  float block[tile][tile];
  for (int64_t i = 0; i < tile; ++i) {
    const float* from = in.data + (row + i) * in.columns + column;
    for (int64_t j = 0; j < tile; ++j) block[j][i] = from[j];
  }
  for (int64_t j = 0; j < tile; ++j) {
    float* to = out + (column + j) * in.rows + row;
    for (int64_t i = 0; i < tile; ++i) to[i] = block[j][i];
  }
}

void transposeEdge(const Matrix& in, int64_t row, int64_t column, int64_t lastColumn, float* out) {
  const int64_t lastRow = std::min(in.rows, row + tile);
  for (int64_t i = row; i < lastRow; ++i) {
    for (int64_t j = column; j < lastColumn; ++j)
      out[j * in.rows + i] = in.data[i * in.columns + j];
  }
}

// The order of a column's sum does not depend on the number of threads.
void addSums(const Matrix& in, int64_t row, int64_t column, int64_t lastColumn, float* sums) {
  const int64_t lastRow = std::min(in.rows, row + tile);
  for (int64_t i = row; i < lastRow; ++i) {
    for (int64_t j = column; j < lastColumn; ++j) sums[j] += in.data[i * in.columns + j];
  }
}

}  // namespace

at::Tensor transposed(const at::Tensor& matrix, const at::Tensor& sums) {
  const Matrix in{matrix.const_data_ptr<float>(), matrix.size(0), matrix.size(1)};
  auto result = at::empty({in.columns, in.rows}, matrix.options());
  float* out = result.mutable_data_ptr<float>();
  float* total = sums.defined() ? sums.mutable_data_ptr<float>() : nullptr;
  const int64_t shares = (in.columns + grain - 1) / grain;
  at::parallel_for(0, shares, 1, [&](int64_t first, int64_t last) {
    for (int64_t row = 0; row < in.rows; row += tile) {
      for (int64_t column = first * grain; column < std::min(in.columns, last * grain);
           column += tile) {
        const int64_t lastColumn = std::min(in.columns, column + tile);
        if (row + tile <= in.rows && column + tile <= in.columns) {
          transposeTile(in, row, column, out);
        } else {
          transposeEdge(in, row, column, lastColumn, out);
        }
        if (total != nullptr) addSums(in, row, column, lastColumn, total);
      }
    }
  });
  return result;
}

}  // namespace listwise::core::nn
