#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace listwise::core {

enum class Activation { Gelu, GeluTanh, Relu };
enum class Pooling { Mean, FirstToken };

// A transformer as data; lib/models/families.ts makes it from a model's config.
struct Architecture {
  int64_t vocabularySize = 0;
  int64_t hiddenSize = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t intermediateSize = 0;
  int64_t maxPositions = 0;
  int64_t tokenTypes = 0;
  double layerNormEps = 0;
  Activation activation = Activation::Gelu;
};

struct EncoderSpec {
  std::vector<std::string> files;
  Architecture architecture;
  // Parameter key → name in the files, "{layer}" standing for the layer's number.
  std::map<std::string, std::string> weightNames;
  std::string device = "cpu";
  bool bf16 = false;
  // Products by int8 weights and activations, on the CPU and forward only.
  bool int8 = false;
  // Plain library operations instead of the fused CPU kernels: the reference that tests and benches
  // compare with.
  bool portable = false;
};

}  // namespace listwise::core
