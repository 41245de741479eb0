#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace listwise::core {

enum class Activation { Gelu, GeluTanh, Relu, Silu };
// WeightedMean: by the token's place, counted from 1. MeanSqrtLength: the sum by the root of the
// length.
enum class Pooling { Mean, FirstToken, Max, WeightedMean, LastToken, MeanSqrtLength };
enum class DenseActivation { Identity, Tanh, Relu, Gelu, Sigmoid };
enum class NormKind { Layer, Rms };
// After: x = norm(x + f(x)). Before: x = x + f(norm(x)), and a last norm at the end.
enum class NormPlace { After, Before };
// Gated: one half of the inner numbers, activated, times the other half; which half comes first in
// the weights differs between families.
enum class FeedForward { Plain, GatedByFirst, GatedBySecond };

// One way in which the tokens of a text see each other; layers differ in it.
struct AttentionKind {
  // Keys further away than this are not seen; 0: all are.
  int64_t window = 0;
  // Rotary positions: radians per position for each pair of a head's numbers; empty: none.
  std::vector<float> frequencies;
};

// A bias of the scores by the distance of query and key, shared by all layers; buckets 0: none.
struct RelativePositions {
  int64_t buckets = 0;
  int64_t maxDistance = 0;
};

// A transformer as data; lib/models/families.ts makes it from a model's config. Which biases and
// which embeddings there are is said by the names of weights: what has no name is not there.
struct Architecture {
  int64_t vocabularySize = 0;
  int64_t hiddenSize = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t headSize = 0;
  int64_t intermediateSize = 0;
  // The longest text.
  int64_t maxPositions = 0;
  // Rows of the table of learned positions; 0: there is none.
  int64_t positionRows = 0;
  // Where it is not negative, positions are counted as RoBERTa does it: from the row after this
  // one, over tokens other than this one, which gets the row of its own number.
  int64_t paddingId = -1;
  int64_t tokenTypes = 0;
  NormKind norm = NormKind::Layer;
  NormPlace normPlace = NormPlace::After;
  double normEps = 0;
  Activation activation = Activation::Gelu;
  FeedForward feedForward = FeedForward::Plain;
  // Query times key is multiplied by this.
  double scoreScale = 0;
  RelativePositions relative;
  std::vector<AttentionKind> attention;
  // Each layer's place in `attention`.
  std::vector<int64_t> attentionOfLayer;

  int64_t attentionSize() const { return heads * headSize; }
  int64_t innerSize() const {
    return (feedForward == FeedForward::Plain ? 1 : 2) * intermediateSize;
  }
};

// Throws INVALID_ARGUMENT naming a field that cannot be.
void checkArchitecture(const Architecture& architecture);

// The names of a weight and its bias, which is empty where there is none.
struct NamedPair {
  std::string weight;
  std::string bias;
};

// Layer norm after a dense layer's activation; no weight: there is none.
struct DenseNorm {
  NamedPair names;
  double eps = 0;
};

// A linear layer on pooled rows: in a file of its own, as sentence-transformers' Dense module, or
// under names of its own in the transformer's files, as a layer of a cross-encoder's head.
struct DenseSpec {
  std::string file;
  NamedPair names;
  DenseNorm norm = {};
  int64_t inputs = 0;
  int64_t outputs = 0;
  bool bias = true;
  DenseActivation activation = DenseActivation::Identity;
};

// One step of T5's decoder, whose output takes the place of pooling and dense layers: the logits of
// some tokens at the first decoding step, from which RankT5 and monoT5 make scores. Its sizes are
// the encoder's.
struct DecoderSpec {
  int64_t layers = 0;  // 0: there is no decoder
  int64_t startId = 0;
  std::vector<int64_t> outputIds;
  // The last states are multiplied by this.
  double outputScale = 1;
};

// Of the numbers inside the encoder; master weights, pooling and embeddings are fp32 always. Int8:
// products by whole numbers, on the CPU and forward only.
enum class Precision { Fp32, Bf16, Int8 };
// What computes on the CPU. Portable: plain library operations, the reference that tests and
// benches compare with. Device: what a GPU would run, for tests.
enum class Kernels { Fused, Portable, Device };

struct EncoderSpec {
  std::vector<std::string> files;
  Architecture architecture;
  // Parameter key → name in the files, "{layer}" standing for the layer's number.
  std::map<std::string, std::string> weightNames;
  // Further names under which the files hold one of these weights: left out where they are saved.
  std::vector<std::string> copies;
  // After pooling, in their order.
  std::vector<DenseSpec> dense;
  DecoderSpec decoder;
  std::string device = "cpu";
  Precision precision = Precision::Fp32;
  Kernels kernels = Kernels::Fused;

  // Numbers of an embedding, or outputs of a cross-encoder.
  int64_t dimension() const {
    if (decoder.layers > 0) return static_cast<int64_t>(decoder.outputIds.size());
    return dense.empty() ? architecture.hiddenSize : dense.back().outputs;
  }
};

}  // namespace listwise::core
