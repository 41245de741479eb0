#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "../packed_texts.h"

namespace listwise::core::nn {

// The texts of one micro-batch as the block sees them: T tokens of n texts, one after the other.
struct Packed {
  at::Tensor ids;        // [T] int64
  at::Tensor positions;  // [T] int64, counted from 0 within each text
  // [T] int64, rows of the table of learned positions: the positions, unless the architecture
  // counts from its padding id.
  at::Tensor positionRows;
  at::Tensor types;    // [T] int64, 0 or 1, the part of a pair; undefined where all are 0
  at::Tensor texts;    // [T] int64, the text that each token belongs to
  at::Tensor starts;   // [n] int64
  at::Tensor lengths;  // [n] int64
  // Where each text starts, and the end: n + 1 numbers, on the device (int32) and on the host.
  at::Tensor cumulative;
  std::vector<int64_t> offsets;

  int64_t tokens() const { return offsets.back(); }
  int64_t count() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t longest() const;
};

// Gathers the texts of a micro-batch, in its order, and moves them to the device. `paddingId` is
// the architecture's.
Packed pack(const JoinedTexts& texts, const MicroBatch& batch, const at::Device& device,
            int64_t paddingId);

}  // namespace listwise::core::nn
