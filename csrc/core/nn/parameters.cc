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
    : architecture_(spec.architecture),
      weightNames_(spec.weightNames),
      dense_(spec.dense),
      decoderLayers_(spec.decoder.layers) {
  placeAll();
  const at::Device device(spec.device);
  master_ = at::zeros({size_}, at::TensorOptions().dtype(at::kFloat).device(device));
  compute_ = spec.precision == Precision::Bf16
                 ? at::empty({size_}, master_.options().dtype(at::kBFloat16))
                 : master_;
  for (const auto& [key, place] : places_) views_[key] = viewInto(compute_, key.first, key.second);
}

// Parameters in the order of the computation. Embeddings, norms and biases are there if they are
// named; what is seen as one matrix here may be several tensors in the file.
void Parameters::placeAll() {
  const auto& a = architecture_;
  place("embeddings.word", -1, {"embeddings.word"}, {a.vocabularySize, a.hiddenSize});
  if (a.positionRows > 0)
    place("embeddings.position", -1, {"embeddings.position"}, {a.positionRows, a.hiddenSize});
  if (a.tokenTypes > 0)
    place("embeddings.tokenType", -1, {"embeddings.tokenType"}, {a.tokenTypes, a.hiddenSize});
  placeIfNamed("embeddings.norm.weight", -1, {a.hiddenSize});
  placeIfNamed("embeddings.norm.bias", -1, {a.hiddenSize});
  if (a.relative.buckets > 0)
    place("attention.relative", -1, {"attention.relative"}, {a.relative.buckets, a.heads});
  for (int64_t i = 0; i < a.layers; ++i) placeLayer(i);
  if (a.normPlace == NormPlace::Before) placeNorm("final.norm", -1);
  for (size_t i = 0; i < dense_.size(); ++i) placeDense(static_cast<int64_t>(i));
  for (int64_t i = 0; i < decoderLayers_; ++i) placeDecoderLayer(i);
  if (decoderLayers_ > 0) placeNorm("decoder.final.norm", -1);
  placeIfNamed("decoder.head.weight", -1, {a.vocabularySize, a.hiddenSize});
}

// A layer of T5's decoder as one step of it needs it: a single token's attention to itself is its
// value.
void Parameters::placeDecoderLayer(int64_t layer) {
  const auto& a = architecture_;
  const bool isSplit = isNamed("decoder.feedForward.gate.weight");
  const auto one = [&](const char* key, int64_t outputs, int64_t inputs) {
    placeLinear(key, layer, {key}, {outputs, inputs});
  };
  placeNorm("decoder.self.norm", layer);
  one("decoder.self.value", a.attentionSize(), a.hiddenSize);
  one("decoder.self.output", a.hiddenSize, a.attentionSize());
  placeNorm("decoder.cross.norm", layer);
  for (const char* key : {"decoder.cross.query", "decoder.cross.key", "decoder.cross.value"})
    one(key, a.attentionSize(), a.hiddenSize);
  one("decoder.cross.output", a.hiddenSize, a.attentionSize());
  placeNorm("decoder.feedForward.norm", layer);
  std::vector<std::string> in{"decoder.feedForward.in"};
  if (isSplit) in.emplace_back("decoder.feedForward.gate");
  placeLinear("decoder.feedForward.in", layer, in, {a.innerSize(), a.hiddenSize});
  one("decoder.feedForward.out", a.hiddenSize, a.intermediateSize);
}

void Parameters::placeDense(int64_t layer) {
  const auto& dense = dense_[static_cast<size_t>(layer)];
  const bool isOwnFile = !dense.file.empty();
  const std::string key = denseKey(static_cast<size_t>(layer));
  const auto one = [&](const std::string& part, const std::string& name,
                       std::vector<int64_t> shape) {
    size_ = (size_ + alignment - 1) / alignment * alignment;
    places_[{key + part, -1}] = {shape, size_};
    fileTensors_.push_back({isOwnFile ? key + ".linear" + part : name, shape, size_, product(shape),
                            isOwnFile ? layer : -1});
    size_ += product(shape);
  };
  one(".weight", dense.names.weight, {dense.outputs, dense.inputs});
  if (dense.bias) one(".bias", dense.names.bias, {dense.outputs});
  if (dense.norm.names.weight.empty()) return;
  one(".norm.weight", dense.norm.names.weight, {dense.outputs});
  if (!dense.norm.names.bias.empty()) one(".norm.bias", dense.norm.names.bias, {dense.outputs});
}

void Parameters::placeLayer(int64_t layer) {
  const auto& a = architecture_;
  const bool isPacked = isNamed("attention.qkv.weight"),
             isSplit = isNamed("feedForward.gate.weight");
  // Where norms come before, that of the first layer's attention is the embeddings', if they have
  // one.
  const bool hasOwnNorm =
      a.normPlace == NormPlace::After || layer > 0 || !isNamed("embeddings.norm.weight");
  const std::vector<std::string> three = {"attention.query", "attention.key", "attention.value"};
  placeLinear("attention.qkv", layer, isPacked ? std::vector<std::string>{"attention.qkv"} : three,
              {3 * a.attentionSize(), a.hiddenSize});
  placeLinear("attention.output", layer, {"attention.output"}, {a.hiddenSize, a.attentionSize()});
  if (hasOwnNorm) placeNorm("attention.norm", layer);
  placeLinear("feedForward.in", layer,
              isSplit ? std::vector<std::string>{"feedForward.in", "feedForward.gate"}
                      : std::vector<std::string>{"feedForward.in"},
              {a.innerSize(), a.hiddenSize});
  placeLinear("feedForward.out", layer, {"feedForward.out"}, {a.hiddenSize, a.intermediateSize});
  placeNorm("feedForward.norm", layer);
}

void Parameters::placeLinear(const std::string& key, int64_t layer,
                             const std::vector<std::string>& sources,
                             std::pair<int64_t, int64_t> outAndIn) {
  const auto parts = [&](const char* part) {
    std::vector<std::string> names;
    for (const auto& source : sources) names.push_back(source + part);
    return names;
  };
  place(key + ".weight", layer, parts(".weight"), {outAndIn.first, outAndIn.second});
  if (isNamed(sources[0] + ".bias")) place(key + ".bias", layer, parts(".bias"), {outAndIn.first});
}

void Parameters::placeNorm(const std::string& key, int64_t layer) {
  place(key + ".weight", layer, {key + ".weight"}, {architecture_.hiddenSize});
  placeIfNamed(key + ".bias", layer, {architecture_.hiddenSize});
}

void Parameters::placeIfNamed(const std::string& key, int64_t layer, std::vector<int64_t> shape) {
  if (isNamed(key)) place(key, layer, {key}, std::move(shape));
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

void Parameters::load(const std::vector<SafetensorsFile*>& files,
                      const std::vector<SafetensorsFile*>& denseFiles) {
  const auto holding = [&](const std::string& name) {
    SafetensorsFile* home = nullptr;
    for (auto* file : files) {
      if (file->tensors().count(name) > 0) home = file;
    }
    return home;
  };
  for (const auto& tensor : fileTensors_) {
    std::string name = tensor.name;
    SafetensorsFile* home = holding(name);
    if (home == nullptr && tensor.dense >= 0) {
      auto* own = denseFiles[static_cast<size_t>(tensor.dense)];
      name = tensor.nameInFile();
      if (own->tensors().count(name) > 0) home = own;
    }
    if (home == nullptr) {
      std::string searched =
          tensor.dense < 0 ? "" : denseFiles[static_cast<size_t>(tensor.dense)]->path();
      for (const auto* file : files) {
        if (tensor.dense < 0) searched += (searched.empty() ? "" : ", ") + file->path();
      }
      throw Error("BAD_MODEL",
                  "Expected a tensor " + name + " in " + searched + " but there is none.");
    }
    const TensorInfo& info = home->tensors().at(name);
    if (info.shape != tensor.shape) {
      throw Error("BAD_MODEL", home->path() + ": expected " + shapeText(tensor.shape) + " for " +
                                   name + ", as the config says, but the file has " +
                                   shapeText(info.shape) + ".");
    }
    const auto type = scalarType(info.dtype, home->path() + ": " + name);
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
  static const at::Tensor none;
  const auto found = views_.find({key, layer});
  return found != views_.end() ? found->second : none;
}

at::Tensor Parameters::viewInto(const at::Tensor& flat, const std::string& key,
                                int64_t layer) const {
  const auto found = places_.find({key, layer});
  if (found == places_.end()) return {};
  const Place& place = found->second;
  return flat.narrow(0, place.offset, product(place.shape)).view(place.shape);
}

const FileTensor& Parameters::fileTensor(const std::string& name) const {
  for (const auto& tensor : fileTensors_) {
    if (tensor.name == name) return tensor;
  }
  throw invalidArgument("Expected the name of a parameter but received \"" + name + "\".");
}

}  // namespace listwise::core::nn
