#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "architecture.h"
#include "job_control.h"
#include "packed_texts.h"

namespace listwise::core {

struct EncodeOptions {
  Pooling pooling = Pooling::Mean;
  bool normalize = true;
  int64_t tokenBudget = 0;
  // By the operations of a pass that keeps its activations, though none may be kept: fused ones
  // round otherwise, and a training step is to give the same bits whatever it keeps.
  bool unfused = false;
};

struct SaveFiles {
  std::string transformer;
  // One for each dense layer; where there are none, all weights go into the one file.
  std::optional<std::vector<std::string>> dense;
};

// A transformer with its weights, and what follows pooling. Not for two threads at once; the
// binding sees to that.
class Encoder {
 public:
  // Throws BAD_MODEL where the files lack a weight or one has another shape than the architecture
  // says.
  static std::unique_ptr<Encoder> load(const EncoderSpec& spec, const CancelToken& cancel);
  ~Encoder();

  // [texts, dimension], in the order of the texts.
  std::vector<float> encode(const PackedTexts& texts, const EncodeOptions& options,
                            const CancelToken& cancel) const;

  // Writes safetensors files with the trained weights in fp32 and every other tensor of the source
  // files as it was.
  void save(const SaveFiles& files) const;

  int64_t dimension() const;
  const EncoderSpec& spec() const;
  std::vector<std::string> parameterNames() const;
  std::vector<float> parameter(const std::string& name) const;

  // For the trainer: what is behind it, known to core's own files only.
  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  explicit Encoder(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace listwise::core
