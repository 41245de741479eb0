#pragma once
#include <cmath>
#include <cstdint>

// Work on one row at a time, written once for the host and for CUDA: a team of threads shares a
// row's columns, and on the host the team is the one thread. Rows are of numbers T (fp32 or bf16);
// arithmetic is fp32.
#if defined(__CUDACC__)
#define LISTWISE_SHARED __host__ __device__ inline
#else
#define LISTWISE_SHARED inline
#endif

namespace listwise::core::kernels {

// A team has first() and step(): the columns of its threads; and sum(x): that of all threads' x,
// known to all of them.
struct OneThread {
  LISTWISE_SHARED int64_t first() const { return 0; }
  LISTWISE_SHARED int64_t step() const { return 1; }
  LISTWISE_SHARED float sum(float x) const { return x; }
};

LISTWISE_SHARED float exactGelu(float x) {
  return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
}

// x = gelu(x + bias), in place.
template <class T>
struct BiasGelu {
  T* x;           // [rows, columns]
  const T* bias;  // [columns], or null
  int64_t columns;

  template <class Team>
  LISTWISE_SHARED void operator()(const Team& team, int64_t row) const {
    T* own = x + row * columns;
    for (int64_t i = team.first(); i < columns; i += team.step()) {
      const float shift = bias != nullptr ? static_cast<float>(bias[i]) : 0.0f;
      own[i] = static_cast<T>(exactGelu(static_cast<float>(own[i]) + shift));
    }
  }
};

// x = x + residual, y = norm(x): layer norm, or RMS norm where rows are not centred.
template <class T>
struct AddNorm {
  T* x;
  const T* residual;  // rows lie residualStride apart
  int64_t residualStride;
  const T* weight;
  const T* bias;  // or null
  T* y;
  float* mean;  // [rows]
  float* rstd;  // [rows]
  int64_t columns;
  float eps;
  bool centred;

  template <class Team>
  LISTWISE_SHARED void operator()(const Team& team, int64_t row) const {
    T* own = x + row * columns;
    const T* other = residual + row * residualStride;
    float total = 0;
    for (int64_t i = team.first(); i < columns; i += team.step()) {
      own[i] = static_cast<T>(static_cast<float>(own[i]) + static_cast<float>(other[i]));
      total += static_cast<float>(own[i]);
    }
    const float count = static_cast<float>(columns);
    const float middle = centred ? team.sum(total) / count : 0.0f;
    float squares = 0;
    for (int64_t i = team.first(); i < columns; i += team.step()) {
      const float v = static_cast<float>(own[i]) - middle;
      squares += v * v;
    }
    const float scale = 1.0f / sqrtf(team.sum(squares) / count + eps);
    for (int64_t i = team.first(); i < columns; i += team.step()) {
      const float shift = bias != nullptr ? static_cast<float>(bias[i]) : 0.0f;
      const float normal = (static_cast<float>(own[i]) - middle) * scale;
      y[row * columns + i] = static_cast<T>(normal * static_cast<float>(weight[i]) + shift);
    }
    if (team.first() == 0) {
      mean[row] = middle;
      rstd[row] = scale;
    }
  }
};

// What the two halves of a norm's backward pass read.
template <class T>
struct NormRows {
  const T* dy;
  const T* more;  // added to dy, or null
  const T* sum;
  const float* mean;
  const float* rstd;
  const T* weight;
  int64_t columns;
  bool centred;

  LISTWISE_SHARED float gradient(int64_t at) const {
    return static_cast<float>(dy[at]) + (more != nullptr ? static_cast<float>(more[at]) : 0.0f);
  }
  LISTWISE_SHARED float normal(int64_t row, int64_t at) const {
    return (static_cast<float>(sum[at]) - mean[row]) * rstd[row];
  }
};

// The gradient with respect to the sum.
template <class T>
struct NormBackwardRow {
  NormRows<T> in;
  T* dx;

  template <class Team>
  LISTWISE_SHARED void operator()(const Team& team, int64_t row) const {
    float first = 0, second = 0;
    for (int64_t i = team.first(); i < in.columns; i += team.step()) {
      const int64_t at = row * in.columns + i;
      const float scaled = in.gradient(at) * static_cast<float>(in.weight[i]);
      first += scaled;
      second += scaled * in.normal(row, at);
    }
    const float count = static_cast<float>(in.columns);
    const float shift = in.centred ? team.sum(first) / count : 0.0f;
    const float slope = team.sum(second) / count;
    for (int64_t i = team.first(); i < in.columns; i += team.step()) {
      const int64_t at = row * in.columns + i;
      const float scaled = in.gradient(at) * static_cast<float>(in.weight[i]);
      dx[at] = static_cast<T>(in.rstd[row] * (scaled - shift - in.normal(row, at) * slope));
    }
  }
};

// The gradient of weight and bias over a share of the rows; shares are added up in order.
template <class T>
struct NormBackwardSums {
  NormRows<T> in;
  int64_t rows, share;
  float* dWeight;  // [shares, columns]
  float* dBias;    // [shares, columns]

  template <class Team>
  LISTWISE_SHARED void operator()(const Team& team, int64_t part) const {
    const int64_t end = (part + 1) * share < rows ? (part + 1) * share : rows;
    for (int64_t i = team.first(); i < in.columns; i += team.step()) {
      float weightSum = 0, biasSum = 0;
      for (int64_t row = part * share; row < end; ++row) {
        const int64_t at = row * in.columns + i;
        const float d = in.gradient(at);
        weightSum += d * in.normal(row, at);
        biasSum += d;
      }
      dWeight[part * in.columns + i] = weightSum;
      dBias[part * in.columns + i] = biasSum;
    }
  }
};

// x[row] += table[rows[row]].
template <class T>
struct AddRow {
  T* x;
  const T* table;
  const int64_t* rows;
  int64_t columns;

  template <class Team>
  LISTWISE_SHARED void operator()(const Team& team, int64_t row) const {
    const T* from = table + rows[row] * columns;
    T* own = x + row * columns;
    for (int64_t i = team.first(); i < columns; i += team.step())
      own[i] = static_cast<T>(static_cast<float>(own[i]) + static_cast<float>(from[i]));
  }
};

// Turns query and key of a token by its position's angles; see Ops::rotate.
template <class T>
struct Rotate {
  T* qkv;  // [rows, 3 x width]
  const float* cosine;
  const float* sine;
  const int64_t* positions;
  int64_t width, half;
  float direction;  // -1 turns back

  template <class Team>
  LISTWISE_SHARED void operator()(const Team& team, int64_t row) const {
    const float* c = cosine + positions[row] * half;
    const float* s = sine + positions[row] * half;
    T* own = qkv + row * 3 * width;
    // The pairs of all heads of query and key.
    for (int64_t i = team.first(); i < width; i += team.step()) {
      const int64_t place = i % half;
      T* pair = own + i / half * 2 * half + place;
      const float a = static_cast<float>(pair[0]), b = static_cast<float>(pair[half]);
      const float turn = direction * s[place];
      pair[0] = static_cast<T>(a * c[place] - b * turn);
      pair[half] = static_cast<T>(b * c[place] + a * turn);
    }
  }
};

// On the current stream of the current CUDA device; compiled by nvcc for the jobs above in fp32 and
// bf16 (row_jobs.cu), where set-up finds it and a CUDA libtorch.
template <class Job>
void launchOnCuda(const Job& job, int64_t rows, int64_t columns);

// Whether the jobs were compiled for the current CUDA device, or for one whose code it can run.
bool runsOnCuda();

}  // namespace listwise::core::kernels
