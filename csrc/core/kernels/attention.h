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
    if (memory.data == nullptr) refuseRoom(numbers * static_cast<int64_t>(sizeof(float)));
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

// Keys of a text that a block of its queries sees.
struct Keys {
  int64_t first;  // a multiple of `lanes`
  int64_t count;
};

static inline Keys keysOf(const AttentionShape& shape, int64_t n, int64_t first, int64_t rows) {
  if (shape.window == 0) return {0, n};
  const int64_t from = first > shape.window ? (first - shape.window) / lanes * lanes : 0;
  const int64_t to = first + rows + shape.window;
  return {from, (to < n ? to : n) - from};
}

// The bias of one query's scores, and keys beyond the window out of the softmax.
static inline void settle(float* row, const AttentionShape& shape, int64_t query, Keys keys,
                          int64_t head) {
  if (shape.bias != nullptr) {
    const float* bias =
        shape.bias + head * shape.biasStride + shape.biasCentre + keys.first - query;
    for (int64_t j = 0; j < keys.count; ++j) row[j] += bias[j];
  }
  if (shape.window > 0) {
    for (int64_t j = 0; j < query - shape.window - keys.first; ++j) row[j] = -INFINITY;
    for (int64_t j = query + shape.window + 1 - keys.first; j < keys.count; ++j) row[j] = -INFINITY;
  }
}

// exp never gives 0: what lies beyond the window is set to it.
static inline void clear(float* row, int64_t window, int64_t query, Keys keys) {
  if (window == 0) return;
  for (int64_t j = 0; j < query - window - keys.first; ++j) row[j] = 0;
  for (int64_t j = query + window + 1 - keys.first; j < keys.count; ++j) row[j] = 0;
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
  transpose(in.part(1), n, d, shape.scale, keys);
  copyRows(in.part(2), n, d, values);
  for (int64_t first = 0; first < n; first += queryBlock) {
    const int64_t rows = n - first < queryBlock ? n - first : queryBlock;
    const Keys seen = keysOf(shape, n, first, rows);
    const int64_t wide = padded(seen.count);
    product({q.data + first * q.stride, q.stride, 1}, {keys + seen.first, width},
            {scores, wide, false}, rows, wide, d);
    float sums[queryBlock];
    for (int64_t i = 0; i < rows; ++i) {
      float most, *row = scores + i * wide;
      settle(row, shape, first + i, seen, head);
      sums[i] = exponentials(row, seen.count, most);
      clear(row, shape.window, first + i, seen);
      if (args.lse != nullptr)
        args.lse[head * shape.tokens + text.start + first + i] = most + std::log(sums[i]);
    }
    product({scores, wide, 1}, {values + seen.first * depth, depth}, {mixed, depth, false}, rows,
            depth, seen.count);
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

// Where one thread puts the parts of one head of one text.
struct BackwardRoom {
  float *keysAcross, *valuesAcross, *keys, *dKeys, *dValues, *scores, *dScores, *queries, *dRows,
      *dQueries;
};

static BackwardRoom backwardRoom(int64_t n, int64_t d) {
  const int64_t width = padded(n), depth = padded(d);
  BackwardRoom r;
  r.keysAcross = scratch(2 * d * width + 3 * n * depth + queryBlock * (2 * width + 3 * depth));
  r.valuesAcross = r.keysAcross + d * width;
  r.keys = r.valuesAcross + d * width;
  r.dKeys = r.keys + n * depth;
  r.dValues = r.dKeys + n * depth;
  r.scores = r.dValues + n * depth;
  r.dScores = r.scores + queryBlock * width;
  r.queries = r.dScores + queryBlock * width;
  r.dRows = r.queries + queryBlock * depth;
  r.dQueries = r.dRows + queryBlock * depth;
  return r;
}

// Queries of one head of one text, and the keys that they see.
struct QueryBlock {
  TextRows text;
  int64_t head, first, rows;
  Keys seen;
};

// P and dS of a block of queries, from S and dP.
static void softmaxBackwardBlock(const AttentionBackward& args, const AttentionShape& shape,
                                 const QueryBlock& block, const BackwardRoom& r) {
  const auto& [text, head, first, rows, seen] = block;
  const int64_t d = shape.headSize, hidden = shape.heads * d, wide = padded(seen.count);
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t query = first + i, at = (text.start + query) * hidden + head * d;
    float *p = r.scores + i * wide, *ds = r.dScores + i * wide;
    settle(p, shape, query, seen, head);
    softmaxBackward(p, ds, seen.count, args.lse[head * shape.tokens + text.start + query],
                    dotProduct(args.dy + at, args.y + at, d));
    clear(p, shape.window, query, seen);
    clear(ds, shape.window, query, seen);
    if (args.dBias == nullptr) continue;
    float* dBias =
        args.dBias + 2 * (head * shape.tokens + text.start) + text.length - 1 + seen.first - query;
    for (int64_t j = 0; j < seen.count; ++j) dBias[j] += ds[j];
  }
}

static void attentionBackward(const AttentionBackward& args, const AttentionShape& shape,
                              TextRows text, int64_t head) {
  const int64_t n = text.length, d = shape.headSize, width = padded(n), depth = padded(d);
  const HeadOf in = headOf(args.qkv, shape, text, head);
  const HeadRows q = in.part(0);
  const BackwardRoom r = backwardRoom(n, d);
  transpose(in.part(1), n, d, shape.scale, r.keysAcross);
  transpose(in.part(2), n, d, 1, r.valuesAcross);
  copyRows(in.part(1), n, d, r.keys);
  // Blocks of queries with windows see different keys, so that none is the first for all.
  if (shape.window > 0) std::memset(r.dKeys, 0, static_cast<size_t>(2 * n * depth) * 4);
  float* dHead = args.dQkv + text.start * 3 * in.hidden + head * d;
  for (int64_t first = 0; first < n; first += queryBlock) {
    const int64_t rows = n - first < queryBlock ? n - first : queryBlock;
    const int64_t at = (text.start + first) * in.hidden + head * d;
    const Keys seen = keysOf(shape, n, first, rows);
    const int64_t wide = padded(seen.count), from = seen.first * depth;
    const bool add = first > 0 || shape.window > 0;
    copyRows({q.data + first * q.stride, q.stride}, rows, d, r.queries);
    copyRows({args.dy + at, in.hidden}, rows, d, r.dRows);
    product({r.queries, depth, 1}, {r.keysAcross + seen.first, width}, {r.scores, wide, false},
            rows, wide, d);
    product({r.dRows, depth, 1}, {r.valuesAcross + seen.first, width}, {r.dScores, wide, false},
            rows, wide, d);
    softmaxBackwardBlock(args, shape, {text, head, first, rows, seen}, r);
    product({r.dScores, wide, 1}, {r.keys + from, depth}, {r.dQueries, depth, false}, rows, depth,
            seen.count);
    copyScaled(r.dQueries, rows, d, shape.scale, dHead + first * 3 * in.hidden, 3 * in.hidden);
    product({r.scores, 1, wide}, {r.dRows, depth}, {r.dValues + from, depth, add}, seen.count,
            depth, rows);
    product({r.dScores, 1, wide}, {r.queries, depth}, {r.dKeys + from, depth, add}, seen.count,
            depth, rows);
  }
  copyScaled(r.dKeys, n, d, shape.scale, dHead + in.hidden, 3 * in.hidden);
  copyScaled(r.dValues, n, d, 1, dHead + 2 * in.hidden, 3 * in.hidden);
}

}  // namespace listwise::core::kernels::LISTWISE_ISA
