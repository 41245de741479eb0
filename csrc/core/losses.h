#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "job_control.h"

namespace listwise::core {

struct LossOptions {
  double studentTemperature = 0;
  double teacherTemperature = 0;
  double contrastiveTemperature = 0;
  double contrastiveWeight = 0;
  double listwiseWeight = 0;
  double maskThreshold = 0;
};

// N queries with L candidates each. Borrowed.
struct Lists {
  std::span<const int32_t> rows;    // N x L, into the distinct passages; column 0 is the positive
  std::span<const double> teacher;  // N x L
  int64_t length = 0;               // L

  int64_t count() const { return length > 0 ? static_cast<int64_t>(rows.size()) / length : 0; }
};

struct Losses {
  // Of embeddings. The contrastive one is not computed where a gradient has no use for it.
  std::optional<double> listwise, contrastive;
  double loss = 0;
};

struct LossGradients : Losses {
  std::vector<double> gradQueries;
  std::vector<double> gradPassages;
};

// Throws INVALID_ARGUMENT naming the field and place: shapes, rows in [0, passages), finite teacher
// scores, options.
void checkLists(const Lists& lists, int64_t queries, int64_t passages);
void checkLossOptions(const LossOptions& options);

// The losses and their gradients from embeddings, all in double precision: queries N x dimension,
// passages U x dimension, each passage once however many lists it stands in. What is computed is
// what a training step computes: no contrastive loss where that has no weight.
LossGradients losses(std::span<const double> queries, std::span<const double> passages,
                     int64_t dimension, const Lists& lists, const LossOptions& options,
                     const CancelToken& cancel);

}  // namespace listwise::core
