#include "architecture.h"

#include "error.h"

namespace listwise::core {
namespace {

// More is a mistake in a config: no published encoder comes near.
constexpr int64_t mostLayers = 1000;

void require(bool holds, const std::string& field, const std::string& expected, int64_t received) {
  if (holds) return;
  throw invalidArgument("Expected " + expected + " for architecture." + field + " but received " +
                        std::to_string(received) + ".");
}

void checkAttention(const Architecture& a) {
  for (const auto& kind : a.attention) {
    require(kind.window >= 0, "attention.window", "a whole number of at least 0", kind.window);
    const auto pairs = static_cast<int64_t>(kind.frequencies.size());
    require(pairs == 0 || 2 * pairs == a.headSize, "attention.frequencies",
            "none or half of headSize, " + std::to_string(a.headSize) + ", numbers", pairs);
  }
  const auto count = static_cast<int64_t>(a.attentionOfLayer.size());
  require(count == a.layers, "attentionOfLayer", std::to_string(a.layers) + " numbers", count);
  const auto kinds = static_cast<int64_t>(a.attention.size());
  for (const int64_t kind : a.attentionOfLayer) {
    require(kind >= 0 && kind < kinds, "attentionOfLayer",
            "whole numbers below " + std::to_string(kinds), kind);
  }
}

}  // namespace

void checkArchitecture(const Architecture& a) {
  const std::pair<int64_t, const char*> sizes[] = {{a.vocabularySize, "vocabularySize"},
                                                   {a.hiddenSize, "hiddenSize"},
                                                   {a.layers, "layers"},
                                                   {a.heads, "heads"},
                                                   {a.headSize, "headSize"},
                                                   {a.intermediateSize, "intermediateSize"},
                                                   {a.maxPositions, "maxPositions"}};
  for (const auto& [value, name] : sizes) require(value > 0, name, "a whole number above 0", value);
  require(a.layers <= mostLayers, "layers", "at most " + std::to_string(mostLayers), a.layers);
  require(a.tokenTypes >= 0, "tokenTypes", "a whole number of at least 0", a.tokenTypes);
  require(a.paddingId >= -1, "paddingId", "a token id or -1", a.paddingId);
  const int64_t rows = a.maxPositions + a.paddingId + 1;
  require(a.positionRows == 0 || a.positionRows >= rows, "positionRows",
          "0 or at least " + std::to_string(rows), a.positionRows);
  require(a.relative.buckets == 0 || (a.relative.buckets >= 4 && a.relative.buckets % 2 == 0),
          "relative.buckets", "an even number of at least 4", a.relative.buckets);
  require(a.relative.buckets == 0 || a.relative.maxDistance > a.relative.buckets / 4,
          "relative.maxDistance", "more than a quarter of relative.buckets",
          a.relative.maxDistance);
  checkAttention(a);
}

}  // namespace listwise::core
