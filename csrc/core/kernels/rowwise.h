#pragma once
#include <cmath>

#include "kernels.h"
#include "vector.h"

namespace listwise::core::kernels::LISTWISE_ISA {

// Calls step(at, n) for each register's worth of [0, size); n < lanes in the last one only.
template <class Step>
static inline void each(int64_t size, Step step) {
  int64_t at = 0;
  for (; at + lanes <= size; at += lanes) step(at, lanes);
  if (at < size) step(at, size - at);
}

static inline Vec get(const float* p, int64_t n) {
  return n == lanes ? load(p) : loadPart(p, n, 0);
}

static inline void put(float* p, Vec v, int64_t n) {
  if (n == lanes) {
    store(p, v);
  } else {
    storePart(p, v, n);
  }
}

// gelu(x) = x Phi(x), Hendrycks and Gimpel, arXiv:1606.08415.
static void gelu(const float* x, float* y, int64_t size) {
  each(size, [&](int64_t at, int64_t n) {
    const Vec v = get(x + at, n);
    put(y + at, v * normalCdf(v), n);
  });
}

static void geluBackward(const float* x, const float* dy, float* dx, int64_t size) {
  each(size, [&](int64_t at, int64_t n) {
    const Vec v = get(x + at, n);
    const Vec density = exp(v * v * -0.5f) * 0.398942280401432678f;
    put(dx + at, get(dy + at, n) * (normalCdf(v) + v * density), n);
  });
}

// Shazeer, GLU Variants Improve Transformer, arXiv:2002.05202.
static void gatedGelu(const GatedForward& a, int64_t size) {
  each(size, [&](int64_t at, int64_t n) {
    const Vec v = get(a.activated + at, n);
    put(a.y + at, v * normalCdf(v) * get(a.factor + at, n), n);
  });
}

static void gatedGeluBackward(const GatedBackward& a, int64_t size) {
  each(size, [&](int64_t at, int64_t n) {
    const Vec v = get(a.activated + at, n), dy = get(a.dy + at, n), share = normalCdf(v);
    const Vec density = exp(v * v * -0.5f) * 0.398942280401432678f;
    put(a.dFactor + at, dy * v * share, n);
    put(a.dActivated + at, dy * get(a.factor + at, n) * (share + v * density), n);
  });
}

template <bool centred, bool biased>
static void addNormRow(const NormForward& a, int64_t columns, int64_t row) {
  float* x = a.x + row * columns;
  const float* residual = a.residual + row * a.residualStride;
  Vec total = {};
  each(columns, [&](int64_t at, int64_t n) {
    const Vec v = get(x + at, n) + get(residual + at, n);
    put(x + at, v, n);
    total += v;
  });
  const float mean = centred ? sum(total) / static_cast<float>(columns) : 0;
  Vec squares = {};
  each(columns, [&](int64_t at, int64_t n) {
    Vec v = get(x + at, n) - mean;
    if (n < lanes) v = loadPart(reinterpret_cast<const float*>(&v), n, 0);
    squares += v * v;
  });
  const float rstd = 1 / std::sqrt(sum(squares) / static_cast<float>(columns) + a.eps);
  each(columns, [&](int64_t at, int64_t n) {
    const Vec v = (get(x + at, n) - mean) * rstd, weight = get(a.weight + at, n);
    put(a.y + row * columns + at, biased ? v * weight + get(a.bias + at, n) : v * weight, n);
  });
  a.mean[row] = mean;
  a.rstd[row] = rstd;
}

static void addNorm(const NormForward& a, int64_t columns, int64_t first, int64_t last) {
  const auto row = a.centred
                       ? (a.bias != nullptr ? addNormRow<true, true> : addNormRow<true, false>)
                       : (a.bias != nullptr ? addNormRow<false, true> : addNormRow<false, false>);
  for (int64_t i = first; i < last; ++i) row(a, columns, i);
}

static void normBackwardRow(const NormBackward& a, int64_t columns, int64_t row) {
  const float* sumRow = a.sum + row * columns;
  float* dx = a.dx + row * columns;
  const float mean = a.mean[row], rstd = a.rstd[row];
  Vec first = {}, second = {};
  each(columns, [&](int64_t at, int64_t n) {
    Vec dy = get(a.dy + row * columns + at, n);
    if (a.more != nullptr) dy += get(a.more + row * columns + at, n);
    const Vec normal = (get(sumRow + at, n) - mean) * rstd;
    const Vec scaled = dy * get(a.weight + at, n);
    first += scaled;
    second += scaled * normal;
    put(a.dWeight + at, get(a.dWeight + at, n) + dy * normal, n);
    put(a.dBias + at, get(a.dBias + at, n) + dy, n);
    put(dx + at, scaled, n);
  });
  const float shift = a.centred ? sum(first) / static_cast<float>(columns) : 0;
  const float slope = sum(second) / static_cast<float>(columns);
  each(columns, [&](int64_t at, int64_t n) {
    const Vec normal = (get(sumRow + at, n) - mean) * rstd;
    put(dx + at, rstd * (get(dx + at, n) - shift - normal * slope), n);
  });
}

static void normBackward(const NormBackward& a, int64_t columns, int64_t first, int64_t last) {
  for (int64_t row = first; row < last; ++row) normBackwardRow(a, columns, row);
}

static int64_t above(const float* scores, int64_t size, float bar, int32_t* found) {
  int64_t count = 0;
  for (int64_t at = 0; at < size; at += lanes) {
    const int64_t n = size - at < lanes ? size - at : lanes;
    if (n == lanes && !(largest(load(scores + at)) > bar)) continue;
    for (int64_t i = 0; i < n; ++i) {
      if (scores[at + i] > bar) found[count++] = static_cast<int32_t>(at + i);
    }
  }
  return count;
}

}  // namespace listwise::core::kernels::LISTWISE_ISA
