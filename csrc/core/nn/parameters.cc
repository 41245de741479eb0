#include "parameters.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>

#include "../error.h"

namespace listwise::core::nn {
namespace {

constexpr int64_t alignment = 16;  // numbers: one cache line of fp32

at::ScalarType scalarType(const std::string& dtype, const std::string& where) {
  if (dtype == "F32") return at::kFloat;
  if (dtype == "F16") return at::kHalf;
  if (dtype == "BF16") return at::kBFloat16;
  if (dtype == "F64") return at::kDouble;
  throw Error("BAD_MODEL", where + " has dtype " + dtype + "; expected F32, F16, BF16 or F64.");
}

std::string shapeText(const std::vector<int64_t>& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += (i > 0 ? " x " : "") + std::to_string(shape[i]);
  return out + "]";
}

int64_t product(const std::vector<int64_t>& shape) {
  int64_t elements = 1;
  for (const int64_t extent : shape) elements *= extent;
  return elements;
}

}  // namespace

Parameters::Parameters(const EncoderSpec& spec)
    : architecture_(spec.architecture), weightNames_(spec.weightNames) {
  placeAll();
  const at::Device device(spec.device);
  master_ = at::zeros({size_}, at::TensorOptions().dtype(at::kFloat).device(device));
  compute_ = spec.bf16 ? at::empty({size_}, master_.options().dtype(at::kBFloat16)) : master_;
  for (const auto& [key, place] : places_) views_[key] = viewInto(compute_, key.first, key.second);
}

// The list of a BERT block's parameters. `sources` are the tensors of the file, stacked along the
// first dimension.
void Parameters::placeAll() {
  const auto& a = architecture_;
  const int64_t h = a.hiddenSize;
  place("embeddings.word", -1, {"embeddings.word"}, {a.vocabularySize, h});
  place("embeddings.position", -1, {"embeddings.position"}, {a.maxPositions, h});
  place("embeddings.tokenType", -1, {"embeddings.tokenType"}, {a.tokenTypes, h});
  place("embeddings.norm.weight", -1, {"embeddings.norm.weight"}, {h});
  place("embeddings.norm.bias", -1, {"embeddings.norm.bias"}, {h});
  for (int64_t i = 0; i < a.layers; ++i) {
    for (const std::string part : {"weight", "bias"}) {
      const auto shape = [&](int64_t out, int64_t in) {
        return part == "weight" ? std::vector<int64_t>{out, in} : std::vector<int64_t>{out};
      };
      const auto one = [&](const std::string& key, std::vector<int64_t> extents) {
        place(key + "." + part, i, {key + "." + part}, std::move(extents));
      };
      place("attention.qkv." + part, i,
            {"attention.query." + part, "attention.key." + part, "attention.value." + part},
            shape(3 * h, h));
      one("attention.output", shape(h, h));
      one("attention.norm", {h});
      one("feedForward.in", shape(a.intermediateSize, h));
      one("feedForward.out", shape(h, a.intermediateSize));
      one("feedForward.norm", {h});
    }
  }
}

std::string Parameters::nameInFile(const std::string& key, int64_t layer) const {
  const auto found = weightNames_.find(key);
  if (found == weightNames_.end())
    throw bug("No weight name is given for the parameter " + key + ".");
  std::string name = found->second;
  const std::string mark = "{layer}";
  if (const auto at = name.find(mark); at != std::string::npos)
    name.replace(at, mark.size(), std::to_string(layer));
  return name;
}

void Parameters::place(const std::string& key, int64_t layer,
                       const std::vector<std::string>& sources, std::vector<int64_t> shape) {
  size_ = (size_ + alignment - 1) / alignment * alignment;
  places_[{key, layer}] = {shape, size_};
  auto part = shape;
  part[0] /= static_cast<int64_t>(sources.size());
  for (const auto& source : sources) {
    fileTensors_.push_back({nameInFile(source, layer), part, size_, product(part)});
    size_ += product(part);
  }
}

void Parameters::load(const std::vector<SafetensorsFile*>& files) {
  std::string searched;
  for (const auto* file : files) searched += (searched.empty() ? "" : ", ") + file->path();
  for (const auto& tensor : fileTensors_) {
    const SafetensorsFile* home = nullptr;
    for (const auto* file : files) {
      if (file->tensors().count(tensor.name) > 0) home = file;
    }
    if (home == nullptr) {
      throw Error("BAD_MODEL",
                  "Expected a tensor " + tensor.name + " in " + searched + " but there is none.");
    }
    const TensorInfo& info = home->tensors().at(tensor.name);
    if (info.shape != tensor.shape) {
      throw Error("BAD_MODEL", home->path() + ": expected " + shapeText(tensor.shape) + " for " +
                                   tensor.name + ", as the config says, but the file has " +
                                   shapeText(info.shape) + ".");
    }
    const auto type = scalarType(info.dtype, home->path() + ": " + tensor.name);
    const auto source =
        at::from_blob(const_cast<std::byte*>(home->data(info)), {tensor.elements}, type);
    master_.narrow(0, tensor.offset, tensor.elements).copy_(source);
  }
  refreshCompute();
}

void Parameters::refreshCompute() {
  if (!compute_.is_same(master_)) compute_.copy_(master_);
}

const at::Tensor& Parameters::view(const std::string& key, int64_t layer) const {
  return views_.at({key, layer});
}

at::Tensor Parameters::viewInto(const at::Tensor& flat, const std::string& key,
                                int64_t layer) const {
  const Place& place = places_.at({key, layer});
  return flat.narrow(0, place.offset, product(place.shape)).view(place.shape);
}

const FileTensor& Parameters::fileTensor(const std::string& name) const {
  for (const auto& tensor : fileTensors_) {
    if (tensor.name == name) return tensor;
  }
  throw invalidArgument("Expected the name of a parameter but received \"" + name + "\".");
}

}  // namespace listwise::core::nn
