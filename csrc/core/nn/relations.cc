#include "relations.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "upload.h"

namespace listwise::core::nn {
namespace {

// Angles in single precision and their cosines in double: the angles are those that the models were
// trained with.
Rotary rotaryOf(const std::vector<float>& frequencies, int64_t longest, const at::Device& device) {
  const auto pairs = static_cast<int64_t>(frequencies.size());
  Rotary rotary{at::empty({longest, pairs}, at::kFloat), at::empty({longest, pairs}, at::kFloat)};
  float* cosine = rotary.cosine.mutable_data_ptr<float>();
  float* sine = rotary.sine.mutable_data_ptr<float>();
  for (int64_t position = 0; position < longest; ++position) {
    for (const float frequency : frequencies) {
      const double angle = static_cast<float>(position) * frequency;
      *cosine++ = static_cast<float>(std::cos(angle));
      *sine++ = static_cast<float>(std::sin(angle));
    }
  }
  return {upload(rotary.cosine, device), upload(rotary.sine, device)};
}

}  // namespace

int64_t relativeBucket(int64_t distance, const RelativePositions& relative) {
  const int64_t half = relative.buckets / 2, single = half / 2;
  const int64_t side = distance > 0 ? half : 0, far = std::abs(distance);
  if (far < single) return side + far;
  const float share = std::log(static_cast<float>(far) / static_cast<float>(single)) /
                      static_cast<float>(std::log(static_cast<double>(relative.maxDistance) /
                                                  static_cast<double>(single)));
  const auto step = static_cast<int64_t>(share * static_cast<float>(half - single));
  return side + std::min(single + step, half - 1);
}

Relations relationsOf(const Architecture& architecture, const Packed& packed,
                      const at::Tensor& table) {
  Relations relations;
  const int64_t longest = packed.longest();
  for (const auto& kind : architecture.attention) {
    relations.rotary.push_back(kind.frequencies.empty()
                                   ? Rotary{}
                                   : rotaryOf(kind.frequencies, longest, packed.ids.device()));
  }
  if (!table.defined()) return relations;
  relations.buckets = at::empty({2 * longest - 1}, at::kLong);
  int64_t* bucket = relations.buckets.mutable_data_ptr<int64_t>();
  for (int64_t distance = 1 - longest; distance < longest; ++distance)
    *bucket++ = relativeBucket(distance, architecture.relative);
  relations.buckets = upload(relations.buckets, table.device());
  relations.bias = table.index_select(0, relations.buckets).t().to(at::kFloat).contiguous();
  return relations;
}

void addBiasGradient(const at::Tensor& dBias, const Relations& relations, at::Tensor table) {
  table.index_add_(0, relations.buckets, dBias.t());
}

}  // namespace listwise::core::nn
