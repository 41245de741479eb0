#pragma once
// Compiled once for each instruction set; LISTWISE_LANES is the number of floats in one of its
// registers and LISTWISE_ISA its name.
#include <cstdint>
#include <cstring>

namespace listwise::core::kernels::LISTWISE_ISA {

constexpr int64_t lanes = LISTWISE_LANES;
typedef float Vec __attribute__((vector_size(LISTWISE_LANES * 4)));
typedef int32_t IntVec __attribute__((vector_size(LISTWISE_LANES * 4)));

static inline Vec load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

static inline void store(float* p, Vec v) {
  std::memcpy(p, &v, sizeof v);
}

static inline Vec broadcast(float x) {
  return x - Vec{};
}

// The first n lanes from memory, the others `rest`.
static inline Vec loadPart(const float* p, int64_t n, float rest) {
  Vec v = broadcast(rest);
  std::memcpy(&v, p, static_cast<size_t>(n) * 4);
  return v;
}

static inline void storePart(float* p, Vec v, int64_t n) {
  std::memcpy(p, &v, static_cast<size_t>(n) * 4);
}

static inline Vec max(Vec a, Vec b) {
  return a > b ? a : b;
}
static inline Vec min(Vec a, Vec b) {
  return a < b ? a : b;
}

static inline float sum(Vec v) {
  float total = 0;
  for (int64_t i = 0; i < lanes; ++i) total += v[i];
  return total;
}

static inline float largest(Vec v) {
  float most = v[0];
  for (int64_t i = 1; i < lanes; ++i) most = v[i] > most ? v[i] : most;
  return most;
}

// e^x: x = n ln 2 + r with |r| <= ln 2 / 2, a polynomial for e^r, 2^n put into the exponent. Below
// -87 it gives about 1e-38, where fp32 ends.
static inline Vec exp(Vec x) {
  const Vec shift = broadcast(12582912.0f);  // 1.5 x 2^23: adding it rounds to a whole number
  x = min(max(x, broadcast(-87.0f)), broadcast(88.0f));
  const Vec rounded = x * 1.44269504088896341f + shift;
  const Vec n = rounded - shift;
  Vec r = x - n * 0.693145751953125f;
  r = r - n * 1.42860682030941723e-6f;
  Vec p = broadcast(1.0f / 5040);
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const IntVec exponent = ((IntVec)rounded - 0x4B400000) << 23;
  return (Vec)((IntVec)p + exponent);
}

// The share of a standard normal below x, Phi(x) = erfc(-x / sqrt 2) / 2, by the Chebyshev fit to
// erfc of Press et al., Numerical Recipes, section 6.2 (relative error 1.2e-7).
static inline Vec normalCdf(Vec x) {
  const Vec z = (x < 0 ? -x : x) * 0.70710678118654752f;
  const Vec t = 1.0f / (1.0f + 0.5f * z);
  Vec p = broadcast(0.17087277f);
  p = p * t - 0.82215223f;
  p = p * t + 1.48851587f;
  p = p * t - 1.13520398f;
  p = p * t + 0.27886807f;
  p = p * t - 0.18628806f;
  p = p * t + 0.09678418f;
  p = p * t + 0.37409196f;
  p = p * t + 1.00002368f;
  p = p * t - 1.26551223f;
  const Vec tail = 0.5f * t * exp(p - z * z);
  return x < 0 ? tail : 1.0f - tail;
}

}  // namespace listwise::core::kernels::LISTWISE_ISA
