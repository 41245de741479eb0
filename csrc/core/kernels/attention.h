#pragma once
#include <cmath>
#include <cstdlib>

#include "kernels.h"
#include "product.h"

namespace listwise::core::kernels::LISTWISE_ISA {

// Queries handled together: their scores against all keys stay in the cache.
constexpr int64_t queryBlock = 64;

static inline int64_t padded(int64_t n) {
  return (n + lanes - 1) / lanes * lanes;
}

// Working memory of one thread, kept between calls. No std::vector: a library template that is
// compiled here with AVX-512 could be the copy that the linker keeps for all.
struct Scratch {
  float* data = nullptr;
  int64_t size = 0;
  ~Scratch() { std::free(data); }
};

static inline float* scratch(int64_t numbers) {
  thread_local Scratch memory;
  if (memory.size < numbers) {
    std::free(memory.data);
    memory.size = 0;
    memory.data = static_cast<float*>(std::malloc(static_cast<size_t>(numbers) * sizeof(float)));
    if (memory.data == nullptr) std::abort();
    memory.size = numbers;
  }
  return memory.data;
}

// One head's columns of the rows of one text.
struct HeadRows {
  const float* data;
  int64_t stride;
};

// out [width, padded(rows)] = factor x in', the last columns 0.
static void transpose(const HeadRows& in, int64_t rows, int64_t width, float factor, float* out) {
  const int64_t stride = padded(rows);
  for (int64_t i = 0; i < width; ++i) {
    for (int64_t j = 0; j < rows; ++j) out[i * stride + j] = factor * in.data[j * in.stride + i];
    for (int64_t j = rows; j < stride; ++j) out[i * stride + j] = 0;
  }
}

// out [rows, padded(width)] = in, the last columns 0.
static void copyRows(const HeadRows& in, int64_t rows, int64_t width, float* out) {
  const int64_t stride = padded(width);
  for (int64_t i = 0; i < rows; ++i) {
    std::memcpy(out + i * stride, in.data + i * in.stride, static_cast<size_t>(width) * 4);
    for (int64_t j = width; j < stride; ++j) out[i * stride + j] = 0;
  }
}

static void copyScaled(const float* in, int64_t rows, int64_t width, float factor, float* out,
                       int64_t outStride) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < width; ++j) out[i * outStride + j] = factor * in[i * padded(width) + j];
  }
}

// Softmax numerators in place of one row of scores; returns their sum and sets the largest score.
static float exponentials(float* row, int64_t n, float& most) {
  const int64_t width = padded(n);
  for (int64_t j = n; j < width; ++j) row[j] = -INFINITY;
  Vec top = load(row);
  for (int64_t j = lanes; j < width; j += lanes) top = max(top, load(row + j));
  most = largest(top);
  Vec total = {};
  for (int64_t j = 0; j < width; j += lanes) {
    Vec e = exp(load(row + j) - most);
    if (j + lanes > n) e = loadPart(reinterpret_cast<const float*>(&e), n - j, 0);
    store(row + j, e);
    total += e;
  }
  return sum(total);
}

struct HeadOf {
  int64_t hidden;
  const float* start;  // qkv of the text's first token, at this head's query
  HeadRows part(int64_t i) const { return {start + i * hidden, 3 * hidden}; }
};

static inline HeadOf headOf(const float* qkv, const AttentionShape& shape, TextRows text,
                            int64_t head) {
  const int64_t hidden = shape.heads * shape.headSize;
  return {hidden, qkv + text.start * 3 * hidden + head * shape.headSize};
}

static void attentionForward(const AttentionForward& args, const AttentionShape& shape,
                             TextRows text, int64_t head) {
  const int64_t n = text.length, d = shape.headSize, width = padded(n), depth = padded(d);
  const HeadOf in = headOf(args.qkv, shape, text, head);
  const HeadRows q = in.part(0);
  float* keys = scratch(d * width + n * depth + queryBlock * (width + depth));
  float* values = keys + d * width;
  float* scores = values + n * depth;
  float* mixed = scores + queryBlock * width;
  transpose(in.part(1), n, d, 1.0f / std::sqrt(static_cast<float>(d)), keys);
  copyRows(in.part(2), n, d, values);
  for (int64_t first = 0; first < n; first += queryBlock) {
    const int64_t rows = n - first < queryBlock ? n - first : queryBlock;
    product({q.data + first * q.stride, q.stride, 1}, {keys, width}, {scores, width, false}, rows,
            width, d);
    float sums[queryBlock];
    for (int64_t i = 0; i < rows; ++i) {
      float most;
      sums[i] = exponentials(scores + i * width, n, most);
      if (args.lse != nullptr)
        args.lse[head * shape.tokens + text.start + first + i] = most + std::log(sums[i]);
    }
    product({scores, width, 1}, {values, depth}, {mixed, depth, false}, rows, depth, n);
    float* out = args.y + (text.start + first) * in.hidden + head * d;
    for (int64_t i = 0; i < rows; ++i)
      copyScaled(mixed + i * depth, 1, d, 1 / sums[i], out + i * in.hidden, 0);
  }
}

// P = exp(S - lse) in place of S, and dS = P (dP - dy . y) in place of dP, for one query.
static void softmaxBackward(float* scores, float* dScores, int64_t n, float lse, float dot) {
  for (int64_t j = 0; j < padded(n); j += lanes) {
    Vec p = exp(load(scores + j) - lse);
    if (j + lanes > n) p = loadPart(reinterpret_cast<const float*>(&p), n - j, 0);
    store(scores + j, p);
    store(dScores + j, p * (load(dScores + j) - dot));
  }
}

static float dotProduct(const float* a, const float* b, int64_t n) {
  float total = 0;
  for (int64_t i = 0; i < n; ++i) total += a[i] * b[i];
  return total;
}

static void attentionBackward(const AttentionBackward& args, const AttentionShape& shape,
                              TextRows text, int64_t head) {
  const int64_t n = text.length, d = shape.headSize, width = padded(n), depth = padded(d);
  const float scale = 1.0f / std::sqrt(static_cast<float>(d));
  const HeadOf in = headOf(args.qkv, shape, text, head);
  const HeadRows q = in.part(0);
  float* keysAcross = scratch(2 * d * width + 3 * n * depth + queryBlock * (2 * width + 3 * depth));
  float* valuesAcross = keysAcross + d * width;
  float* keys = valuesAcross + d * width;
  float* dKeys = keys + n * depth;
  float* dValues = dKeys + n * depth;
  float* scores = dValues + n * depth;
  float* dScores = scores + queryBlock * width;
  float* queries = dScores + queryBlock * width;
  float* dRows = queries + queryBlock * depth;
  float* dQueries = dRows + queryBlock * depth;
  transpose(in.part(1), n, d, scale, keysAcross);
  transpose(in.part(2), n, d, 1, valuesAcross);
  copyRows(in.part(1), n, d, keys);
  float* dHead = args.dQkv + text.start * 3 * in.hidden + head * d;
  for (int64_t first = 0; first < n; first += queryBlock) {
    const int64_t rows = n - first < queryBlock ? n - first : queryBlock;
    const int64_t at = (text.start + first) * in.hidden + head * d;
    copyRows({q.data + first * q.stride, q.stride}, rows, d, queries);
    copyRows({args.dy + at, in.hidden}, rows, d, dRows);
    product({queries, depth, 1}, {keysAcross, width}, {scores, width, false}, rows, width, d);
    product({dRows, depth, 1}, {valuesAcross, width}, {dScores, width, false}, rows, width, d);
    for (int64_t i = 0; i < rows; ++i) {
      const float dot = dotProduct(args.dy + at + i * in.hidden, args.y + at + i * in.hidden, d);
      softmaxBackward(scores + i * width, dScores + i * width, n,
                      args.lse[head * shape.tokens + text.start + first + i], dot);
    }
    product({dScores, width, 1}, {keys, depth}, {dQueries, depth, false}, rows, depth, n);
    copyScaled(dQueries, rows, d, scale, dHead + first * 3 * in.hidden, 3 * in.hidden);
    product({scores, 1, width}, {dRows, depth}, {dValues, depth, first > 0}, n, depth, rows);
    product({dScores, 1, width}, {queries, depth}, {dKeys, depth, first > 0}, n, depth, rows);
  }
  copyScaled(dKeys, n, d, scale, dHead + in.hidden, 3 * in.hidden);
  copyScaled(dValues, n, d, 1, dHead + 2 * in.hidden, 3 * in.hidden);
}

}  // namespace listwise::core::kernels::LISTWISE_ISA
