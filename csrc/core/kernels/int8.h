#pragma once
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "rowwise.h"

namespace listwise::core::kernels::LISTWISE_ISA {

// Columns of a panel of weights, and numbers of the input that are multiplied together: a register
// of 16 sums of 4 products each.
constexpr int64_t panelColumns = 16;
constexpr int64_t group = 4;
constexpr int64_t panelGroup = panelColumns * group;
constexpr int64_t tileRows = 8;

typedef int32_t Sums __attribute__((vector_size(64)));

// Weights of 4 inputs x 16 outputs, as `addProducts` wants them.
#if defined(__AVX512VNNI__)
struct Quads {
  __m512i all;
};
static inline Quads loadQuads(const int8_t* p) {
  return {_mm512_loadu_si512(p)};
}
static inline void addProducts(Sums& sums, uint32_t inputs, const Quads& w) {
  sums =
      (Sums)_mm512_dpbusd_epi32((__m512i)sums, _mm512_set1_epi32(static_cast<int>(inputs)), w.all);
}
#elif defined(__AVX512BW__)
// Even and odd bytes as 16-bit numbers: no sum of two products overflows, as one of vpmaddubsw's
// would.
struct Quads {
  __m512i even, odd;
};
static inline Quads loadQuads(const int8_t* p) {
  const __m512i all = _mm512_loadu_si512(p);
  return {_mm512_srai_epi16(_mm512_slli_epi16(all, 8), 8), _mm512_srai_epi16(all, 8)};
}
static inline void addProducts(Sums& sums, uint32_t inputs, const Quads& w) {
  const __m512i even = _mm512_set1_epi32(static_cast<int>(inputs & 0x00FF00FFu));
  const __m512i odd = _mm512_set1_epi32(static_cast<int>((inputs >> 8) & 0x00FF00FFu));
  sums += (Sums)_mm512_madd_epi16(even, w.even);
  sums += (Sums)_mm512_madd_epi16(odd, w.odd);
}
#elif defined(__AVX2__)
struct Quads {
  __m256i even[2], odd[2];
};
static inline Quads loadQuads(const int8_t* p) {
  Quads out;
  for (int i = 0; i < 2; ++i) {
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32 * i));
    out.even[i] = _mm256_srai_epi16(_mm256_slli_epi16(half, 8), 8);
    out.odd[i] = _mm256_srai_epi16(half, 8);
  }
  return out;
}
static inline void addProducts(Sums& sums, uint32_t inputs, const Quads& w) {
  const __m256i even = _mm256_set1_epi32(static_cast<int>(inputs & 0x00FF00FFu));
  const __m256i odd = _mm256_set1_epi32(static_cast<int>((inputs >> 8) & 0x00FF00FFu));
  __m256i halves[2];
  std::memcpy(halves, &sums, sizeof sums);
  for (int i = 0; i < 2; ++i) {
    halves[i] = _mm256_add_epi32(halves[i], _mm256_madd_epi16(even, w.even[i]));
    halves[i] = _mm256_add_epi32(halves[i], _mm256_madd_epi16(odd, w.odd[i]));
  }
  std::memcpy(&sums, halves, sizeof sums);
}
#else
struct Quads {
  Sums of[group];
};
static inline Quads loadQuads(const int8_t* p) {
  Quads out;
  for (int64_t c = 0; c < panelColumns; ++c) {
    for (int64_t i = 0; i < group; ++i) out.of[i][c] = p[c * group + i];
  }
  return out;
}
static inline void addProducts(Sums& sums, uint32_t inputs, const Quads& w) {
  for (int64_t i = 0; i < group; ++i)
    sums += w.of[i] * static_cast<int32_t>((inputs >> (8 * i)) & 0xFFu);
}
#endif

// A row of inputs in whole numbers from 0 to 255: x is about scale (u - zero).
struct QuantisedRow {
  float scale;
  int32_t zero;
};

static QuantisedRow quantiseRow(const float* x, int64_t columns, int64_t width, uint8_t* u) {
  Vec low = {}, high = {}, nothing = {};
  each(columns, [&](int64_t at, int64_t n) {
    const Vec v = get(x + at, n);
    low = min(low, v);
    high = max(high, v);
    nothing += v * 0.0f;  // NaN where v is not finite: whole numbers would hide it
  });
  const float least = -largest(-low), most = largest(high);
  const float scale = most > least ? (most - least) / 255 : 1;
  const float inverse = 1 / scale;
  const auto zero = static_cast<int32_t>(-least * inverse + 0.5f);
  // Adding it rounds to a whole number, found in the last bits.
  const Vec shift = broadcast(12582912.0f + static_cast<float>(zero));
  each(columns, [&](int64_t at, int64_t n) {
    const Vec v = max(min(get(x + at, n) * inverse + shift, broadcast(12582912.0f + 255)),
                      broadcast(12582912.0f));
    const IntVec whole = (IntVec)v - 0x4B400000;
    typedef uint8_t Bytes __attribute__((vector_size(LISTWISE_LANES)));
    const Bytes bytes = __builtin_convertvector(whole, Bytes);
    std::memcpy(u + at, &bytes, static_cast<size_t>(n));
  });
  for (int64_t i = columns; i < width; ++i) u[i] = 0;
  return {scale + sum(nothing), zero};
}

// One row's outputs of a panel.
static void finishRow(const Int8Product& args, const Sums& sums, QuantisedRow row, int64_t column,
                      float* y) {
  const int64_t left = args.weights.outputs - column;
  const int64_t count = left < panelColumns ? left : panelColumns;
  float numbers[panelColumns];
  const auto whole = [&](int64_t i) {
    return static_cast<float>(sums[i] - row.zero * args.weights.sums[column + i]);
  };
  for (int64_t i = 0; i < panelColumns; ++i) numbers[i] = i < count ? whole(i) : 0;
  each(count, [&](int64_t at, int64_t n) {
    Vec v = get(numbers + at, n) * get(args.weights.scales + column + at, n) * row.scale;
    if (args.bias != nullptr) v += get(args.bias + column + at, n);
    put(y + column + at, args.gelu ? v * normalCdf(v) : v, n);
  });
}

template <int rows, int panels>
static inline void int8Tile(const Int8Product& args, const uint8_t* inputs,
                            const QuantisedRow* scales, int64_t firstRow, int64_t panel) {
  const int64_t groups = args.weights.groups, width = groups * group;
  Sums sums[rows][panels] = {};
  const int8_t* w = args.weights.packed + panel * groups * panelGroup;
  for (int64_t k = 0; k < groups; ++k) {
    Quads quads[panels];
    for (int p = 0; p < panels; ++p) quads[p] = loadQuads(w + (p * groups + k) * panelGroup);
    for (int i = 0; i < rows; ++i) {
      uint32_t four;
      std::memcpy(&four, inputs + i * width + k * group, sizeof four);
      for (int p = 0; p < panels; ++p) addProducts(sums[i][p], four, quads[p]);
    }
  }
  for (int i = 0; i < rows; ++i) {
    float* y = args.y + (firstRow + i) * args.weights.outputs;
    for (int p = 0; p < panels; ++p)
      finishRow(args, sums[i][p], scales[i], (panel + p) * panelColumns, y);
  }
}

template <int rows>
static inline void int8Rows(const Int8Product& args, const uint8_t* inputs,
                            const QuantisedRow* scales, int64_t firstRow, int64_t panel) {
  const int64_t panels = (args.weights.outputs + panelColumns - 1) / panelColumns;
  if (panel + 2 <= panels) {
    int8Tile<rows, 2>(args, inputs, scales, firstRow, panel);
  } else {
    int8Tile<rows, 1>(args, inputs, scales, firstRow, panel);
  }
}

// Rows [first, last), at most int8BlockRows of them, with room for
// int8BlockRows x groups x 4 bytes.
static void int8Product(const Int8Product& args, int64_t first, int64_t last, uint8_t* room) {
  const int64_t width = args.weights.groups * group, columns = args.weights.inputs;
  QuantisedRow scales[int8BlockRows];
  for (int64_t row = first; row < last; ++row) {
    scales[row - first] =
        quantiseRow(args.x + row * columns, columns, width, room + (row - first) * width);
  }
  for (int64_t panel = 0; panel * panelColumns < args.weights.outputs; panel += 2) {
    int64_t row = first;
    for (; row + tileRows <= last; row += tileRows) {
      int8Rows<tileRows>(args, room + (row - first) * width, scales + (row - first), row, panel);
    }
    for (; row < last; ++row) {
      int8Rows<1>(args, room + (row - first) * width, scales + (row - first), row, panel);
    }
  }
}

}  // namespace listwise::core::kernels::LISTWISE_ISA
