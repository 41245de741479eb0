#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "../architecture.h"
#include "../safetensors.h"

namespace listwise::core::nn {

// Where a dense layer's parameters are found, less `.weight` and `.bias`.
inline std::string denseKey(size_t layer) {
  return "dense." + std::to_string(layer);
}

// A tensor of a weights file and its place in the flat storage.
struct FileTensor {
  // As the file has it; those of a dense layer's file have its key and a dot before.
  std::string name;
  std::vector<int64_t> shape;
  int64_t offset = 0;
  int64_t elements = 0;
  // The dense layer whose file it is in, or -1: the transformer's.
  int64_t dense = -1;

  std::string nameInFile() const {
    return dense < 0 ? name : name.substr(denseKey(static_cast<size_t>(dense)).size() + 1);
  }
};

// All trained weights in one flat fp32 tensor, so that the optimiser, the norm of the gradient and
// a checkpoint are each one operation. Parameters that are multiplied together (query, key and
// value) lie side by side and are seen as one matrix. A second flat tensor holds them in the
// compute precision when that is not fp32.
class Parameters {
 public:
  Parameters(const EncoderSpec& spec);

  // Reads the weights from the transformer's files and one for each dense layer; what the former
  // hold of a dense layer goes first. Throws BAD_MODEL naming a tensor that is missing or has
  // another shape.
  void load(const std::vector<SafetensorsFile*>& files,
            const std::vector<SafetensorsFile*>& denseFiles);
  // Copies the master weights to the compute precision; call after every change.
  void refreshCompute();

  // The view of a parameter in the compute precision, e.g. view("attention.qkv.weight", 3);
  // undefined where the model has no such parameter.
  const at::Tensor& view(const std::string& key, int64_t layer = -1) const;
  // The same view into another flat tensor, such as the gradient.
  at::Tensor viewInto(const at::Tensor& flat, const std::string& key, int64_t layer = -1) const;

  at::Tensor& master() { return master_; }
  const at::Tensor& master() const { return master_; }
  const std::vector<FileTensor>& fileTensors() const { return fileTensors_; }
  // Throws INVALID_ARGUMENT for a name that is no parameter.
  const FileTensor& fileTensor(const std::string& name) const;

 private:
  struct Place {
    std::vector<int64_t> shape;
    int64_t offset;
  };
  void place(const std::string& key, int64_t layer, const std::vector<std::string>& sources,
             std::vector<int64_t> shape);
  // The same for a parameter that only some families have: those that name it.
  void placeIfNamed(const std::string& key, int64_t layer, std::vector<int64_t> shape);
  void placeLinear(const std::string& key, int64_t layer, const std::vector<std::string>& sources,
                   std::pair<int64_t, int64_t> outAndIn);
  void placeNorm(const std::string& key, int64_t layer);
  void placeLayer(int64_t layer);
  void placeDense(int64_t layer);
  void placeDecoderLayer(int64_t layer);
  void placeAll();
  bool isNamed(const std::string& key) const { return weightNames_.count(key) > 0; }
  std::string nameInFile(const std::string& key, int64_t layer) const;

  const Architecture architecture_;
  const std::map<std::string, std::string> weightNames_;
  const std::vector<DenseSpec> dense_;
  const int64_t decoderLayers_;
  int64_t size_ = 0;  // numbers, with the gaps that align parameters
  std::map<std::pair<std::string, int64_t>, Place> places_;
  std::vector<FileTensor> fileTensors_;
  at::Tensor master_;
  at::Tensor compute_;
  std::map<std::pair<std::string, int64_t>, at::Tensor> views_;
};

}  // namespace listwise::core::nn
