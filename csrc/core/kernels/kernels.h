#pragma once
#include <cstdint>

namespace listwise::core::kernels {

// One text of a packed matrix: rows [start, start + length).
struct TextRows {
  int64_t start;
  int64_t length;
};

// Where attention finds its numbers, and which keys a query sees. All matrices are row-major and
// packed.
struct AttentionShape {
  int64_t heads;
  int64_t headSize;
  int64_t tokens;  // rows of all texts together
  float scale;     // of query times key
  int64_t window;  // keys further away are not seen; 0: all are
  // Added to the scores of head h: bias[h x biasStride + biasCentre + key - query]; or null.
  const float* bias;
  int64_t biasStride;
  int64_t biasCentre;
};

struct AttentionForward {
  const float* qkv;  // [tokens, 3 x heads x headSize]
  float* y;          // [tokens, heads x headSize]
  float* lse;        // [heads, tokens], or null
};

struct AttentionBackward {
  const float* qkv;
  const float* y;
  const float* lse;
  const float* dy;  // [tokens, heads x headSize]
  float* dQkv;      // [tokens, 3 x heads x headSize]
  // Gradient of the bias, each text by itself: [heads, 2 x tokens], zeros before; text's own part
  // starts at 2 x start, and its place for a distance is length - 1 + key - query. Or null.
  float* dBias;
};

// Layer norm, or RMS norm where rows are not centred.
struct NormForward {
  float* x;               // [rows, columns]: becomes x + residual
  const float* residual;  // rows lie residualStride apart
  int64_t residualStride;
  const float* weight;
  const float* bias;  // or null
  float* y;
  float* mean;  // [rows]; 0 where they are not centred
  float* rstd;  // [rows]
  float eps;
  bool centred;
};

struct NormBackward {
  const float* dy;
  const float* more;  // added to dy, or null
  const float* sum;
  const float* mean;
  const float* rstd;
  const float* weight;
  float* dx;
  float* dWeight;  // [columns], added to
  float* dBias;    // [columns], added to
  bool centred;
};

// gelu(activated) x factor, for rows of both.
struct GatedForward {
  const float* activated;
  const float* factor;
  float* y;
};

struct GatedBackward {
  const float* activated;
  const float* factor;
  const float* dy;
  float* dActivated;
  float* dFactor;
};

struct Transposition {
  const float* in;  // [rows, columns]
  float* out;       // [columns, rows]
  float* sums;      // [columns], to which each column's sum is added; or null
  int64_t rows;
  int64_t columns;
};

// A matrix of weights [outputs, inputs] in whole numbers, each output with a scale of its own.
struct Int8Weights {
  // [outputs / 16][groups][16][4], zeros at the edges; groups are of 4 inputs.
  const int8_t* packed;
  const float* scales;  // [outputs]
  const int32_t* sums;  // [outputs] of each output's numbers
  int64_t outputs;
  int64_t inputs;
  int64_t groups;
};

// y = x W' + bias, or gelu of that; each row of x is turned into whole numbers on the way.
struct Int8Product {
  const float* x;  // [rows, inputs]
  Int8Weights weights;
  const float* bias;  // or null
  float* y;           // [rows, outputs]
  bool gelu;
};

constexpr int64_t int8BlockRows = 64;

// Throws OUT_OF_MEMORY for a kernel that got no room to work in. Not in the kernels' own files:
// what they share with other files must not be compiled for their instruction set.
[[noreturn]] void refuseRoom(int64_t bytes);

// One set of kernels, compiled once for each instruction set. Each works on one unit of work in the
// calling thread; who calls them spreads units over threads. They are exact fp32: exp and erf to
// about 1e-7, no flushing, no fast-math.
struct Table {
  const char* name;
  // One head of one text.
  void (*attentionForward)(const AttentionForward&, const AttentionShape&, TextRows, int64_t head);
  void (*attentionBackward)(const AttentionBackward&, const AttentionShape&, TextRows,
                            int64_t head);
  // n numbers: y = gelu(x), exact (erf).
  void (*gelu)(const float* x, float* y, int64_t n);
  // n numbers: dx = dy gelu'(x).
  void (*geluBackward)(const float* x, const float* dy, float* dx, int64_t n);
  // n numbers each.
  void (*gatedGelu)(const GatedForward&, int64_t n);
  void (*gatedGeluBackward)(const GatedBackward&, int64_t n);
  // Rows [first, last).
  void (*addNorm)(const NormForward&, int64_t columns, int64_t first, int64_t last);
  void (*normBackward)(const NormBackward&, int64_t columns, int64_t first, int64_t last);
  // Columns [first, last).
  void (*transpose)(const Transposition&, int64_t first, int64_t last);
  // Writes the places in scores[0, n) that are above the bar to `found`; returns how many.
  int64_t (*above)(const float* scores, int64_t n, float bar, int32_t* found);
  // Rows [first, last), at most int8BlockRows; `room` has int8BlockRows x groups x 4 bytes.
  void (*int8Product)(const Int8Product&, int64_t first, int64_t last, uint8_t* room);
};

// The fastest set this processor can run, or the one that the variable LISTWISE_KERNELS names, if
// it can run it.
const Table& table();

}  // namespace listwise::core::kernels
