#include "losses.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>

#include <cmath>
#include <string>

#include "error.h"
#include "loss_gradients.h"

namespace listwise::core {
namespace {

void requirePositive(double value, const char* name) {
  if (!(value > 0) || !std::isfinite(value)) {
    throw invalidArgument("Expected a number above 0 for loss." + std::string(name) +
                          " but received " + std::to_string(value) + ".");
  }
}

void requireNotNegative(double value, const char* name) {
  if (!(value >= 0) || !std::isfinite(value)) {
    throw invalidArgument("Expected a number of at least 0 for loss." + std::string(name) +
                          " but received " + std::to_string(value) + ".");
  }
}

}  // namespace

void checkLossOptions(const LossOptions& options) {
  requirePositive(options.studentTemperature, "studentTemperature");
  requirePositive(options.teacherTemperature, "teacherTemperature");
  requirePositive(options.contrastiveTemperature, "contrastiveTemperature");
  requireNotNegative(options.contrastiveWeight, "contrastiveWeight");
  requireNotNegative(options.listwiseWeight, "listwiseWeight");
  requireNotNegative(options.maskThreshold, "maskThreshold");
}

void checkLists(const Lists& lists, int64_t queries, int64_t passages) {
  const auto slots = static_cast<int64_t>(lists.rows.size());
  // By division: no length can make it overflow.
  if (lists.length < 1 || queries < 1 || slots % lists.length != 0 ||
      slots / lists.length != queries) {
    throw invalidArgument("Expected rows to be [" + std::to_string(queries) + " x " +
                          std::to_string(lists.length) +
                          "] with at least one query and one passage but received " +
                          std::to_string(lists.rows.size()) + " numbers.");
  }
  if (lists.teacher.size() != lists.rows.size()) {
    throw invalidArgument("Expected teacher to have as many numbers as rows, " +
                          std::to_string(lists.rows.size()) + ", but received " +
                          std::to_string(lists.teacher.size()) + ".");
  }
  const auto place = [&](size_t slot) {
    return " for query " + std::to_string(slot / lists.length) + ", candidate " +
           std::to_string(slot % lists.length) + " of the batch";
  };
  for (size_t i = 0; i < lists.rows.size(); ++i) {
    if (lists.rows[i] < 0 || lists.rows[i] >= passages) {
      throw invalidArgument("Expected a row in [0, " + std::to_string(passages) + ")" + place(i) +
                            " but received " + std::to_string(lists.rows[i]) + ".");
    }
    if (!std::isfinite(lists.teacher[i])) {
      throw invalidArgument("Expected a finite teacher score" + place(i) + " but received " +
                            std::to_string(lists.teacher[i]) + ".");
    }
  }
}

LossGradients losses(std::span<const double> queries, std::span<const double> passages,
                     int64_t dimension, const Lists& lists, const LossOptions& options,
                     const CancelToken& cancel) {
  const at::NoGradGuard noGrad;
  checkLossOptions(options);
  if (dimension < 1 || queries.size() % dimension != 0 || passages.size() % dimension != 0 ||
      passages.empty()) {
    throw invalidArgument("Expected queries and passages to have rows of " +
                          std::to_string(dimension) + " numbers but received " +
                          std::to_string(queries.size()) + " and " +
                          std::to_string(passages.size()) + " numbers.");
  }
  const auto matrix = [&](std::span<const double> numbers) {
    return at::from_blob(const_cast<double*>(numbers.data()),
                         {static_cast<int64_t>(numbers.size()) / dimension, dimension},
                         at::kDouble);
  };
  const auto q = matrix(queries), p = matrix(passages);
  checkLists(lists, q.size(0), p.size(0));
  LossTask task{q, p, lists, options};
  task.contrastive = options.contrastiveWeight > 0;
  task.gradQueries = at::empty_like(q);
  task.gradPassages = at::empty_like(p);
  const auto values = [](const at::Tensor& t) {
    const auto flat = t.contiguous();
    return std::vector<double>(flat.const_data_ptr<double>(),
                               flat.const_data_ptr<double>() + flat.numel());
  };
  LossGradients out;
  static_cast<Losses&>(out) = computeLosses(task, cancel);
  out.gradQueries = values(task.gradQueries);
  out.gradPassages = values(task.gradPassages);
  return out;
}

}  // namespace listwise::core
