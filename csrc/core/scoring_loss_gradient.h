#pragma once
#include <ATen/core/Tensor.h>

#include "scoring_loss.h"

namespace listwise::core {

// The loss of the logits z of N lists of L pairs with labels y, in double precision.
//
// Listwise: softmax cross-entropy with the labels as a distribution over the list (Cao et al. 2007,
// top one; Zhuang et al., arXiv:2210.10634). With p_ij = y_ij / sum_j y_ij and S_i = softmax(z_i),
//
//   1/N sum_ij -p_ij log S_ij,    gradient (S_ij - p_ij) / N
//
// Bce: binary cross-entropy of each pair by itself, the mean over the pairs of each list and then
// over the lists, which is the mean over all pairs. With s the logistic function,
//
//   1/(N L) sum_ij -y_ij log s(z_ij) - (1 - y_ij) log(1 - s(z_ij)),    gradient (s(z_ij) - y_ij) /
//   (N L)
//
// `logits` has N x L numbers of any floating type; `gradient`, where defined, gets that of the loss
// and may be the logits themselves.
double computeScoringLoss(const at::Tensor& logits, const LabelledLists& lists, ScoringLoss loss,
                          at::Tensor gradient = {});

}  // namespace listwise::core
