#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "ops.h"

namespace listwise::core::nn {

// How the tokens of a micro-batch's texts relate by their places: the same in all layers of a kind.
struct Relations {
  // One for each kind of attention; its tensors are undefined where positions are not rotary.
  std::vector<Rotary> rotary;
  // For texts of up to L tokens: the bucket of each distance key - query, from 1 - L; int64
  // [2L - 1], or undefined.
  at::Tensor buckets;
  at::Tensor bias;  // fp32 [heads, 2L - 1], or undefined
};

// `table` is the biases by bucket, [buckets, heads], or undefined.
Relations relationsOf(const Architecture& architecture, const Packed& packed,
                      const at::Tensor& table);

// Adds the gradient of the bias to that of the table.
void addBiasGradient(const at::Tensor& dBias, const Relations& relations, at::Tensor table);

// The bucket of a key at this distance (key - query) from the query. Half of the buckets are for
// keys after the query. Of each half, one half is for single distances, the rest grow
// logarithmically up to maxDistance (Raffel et al., T5, arXiv:1910.10683, section 2.1). The
// logarithm is taken in single precision, as the models were trained.
int64_t relativeBucket(int64_t distance, const RelativePositions& relative);

}  // namespace listwise::core::nn
