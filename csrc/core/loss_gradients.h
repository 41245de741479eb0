#pragma once
#include <ATen/core/Tensor.h>

#include "job_control.h"
#include "losses.h"

namespace listwise::core {

struct LossTask {
  const at::Tensor& queries;   // [N, d], fp32 or double
  const at::Tensor& passages;  // [U, d]
  const Lists& lists;
  const LossOptions& options;
  // Whether the contrastive loss is computed. Without it the work is that of the N x L slots.
  bool contrastive = true;
  // As on a GPU: by library operations, and where the contrastive loss wants the scores of all
  // queries with all passages, they, their exponentials and their gradient are fp32. Most GPUs have
  // little for double precision, and embeddings come in no more.
  bool asDevice = false;
  // Filled where defined, both or none. They may be the embeddings themselves: a block is read
  // before it is written.
  at::Tensor gradQueries = {};
  at::Tensor gradPassages = {};
  // Set, if given, once the first block is written: what throws after that has used up embeddings
  // that are their own gradient.
  bool* isWritten = nullptr;
};

// The listwise and the contrastive loss of a batch (Tamber et al., arXiv:2505.19274) in closed
// form.
//
// With s_iu = q_i . p_u, r_u the number of slots that passage u fills, and X_i the passages masked
// for query i,
//
//   R = 1/N sum_ij T_ij (log T_ij - log S_ij)
//
//   C = 1/N sum_i (L_i - s_i1 / tau)
//
//   L_i = log(e^{s_i1 / tau} + sum over u not in X_i of r_u e^{s_iu / tau})
//
//   dR/ds_ij = (S_ij - T_ij) / (N tau_s)
//
//   dC/ds_iu = r_u e^{s_iu / tau - L_i} / (N tau), and less 1 / (N tau) for the positive's own
//   slot.
//
// Scores are computed twice over blocks of passages, once for L and S and once for the gradient, so
// that memory is O((N + U) d) and never N x U. Sums over passages, the lists'
// softmaxes and the losses are double throughout, and so is all else unless `asDevice` says
// otherwise; embeddings may be fp32.
Losses computeLosses(const LossTask& task, const CancelToken& cancel);

// What computeLosses takes for each query, for each slot of its list, and whatever the batch,
// beside embeddings and gradients; all to within a few megabytes.
int64_t lossBytesPerQuery(int64_t dimension);
int64_t lossBytesPerSlot();
int64_t lossBlockBytes(int64_t dimension);

}  // namespace listwise::core
