#pragma once
#include <ATen/core/Tensor.h>

#include "../architecture.h"
#include "packed.h"

namespace listwise::core::nn {

struct Pooled {
  at::Tensor rows;  // fp32 [n, H], one row a text
  at::Tensor
      chosen;  // Pooling::Max: int64 [n, H], the token that each number is from; or undefined
};

// Whether one token stands for each text.
bool readsOneToken(Pooling pooling);

// That token, [n]; undefined where pooling reads all of them.
at::Tensor tokensRead(const Packed& packed, Pooling pooling);

// The states of tokensRead [n, H], or of all tokens [T, H], to one row a text.
Pooled pool(const at::Tensor& x, const Packed& packed, Pooling pooling);

// The gradient of those states in fp32; `chosen` is what pool gave.
at::Tensor poolBackward(const at::Tensor& dRows, const Packed& packed, Pooling pooling,
                        const at::Tensor& chosen);

}  // namespace listwise::core::nn
