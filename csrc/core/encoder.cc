#include "encoder.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_vector_norm.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "encoder_impl.h"
#include "memory.h"
#include "nn/memory_pool.h"
#include "nn/pooling.h"

namespace listwise::core {
namespace {

// Below this a pooled vector has no direction; as torch.nn.functional.normalize.
constexpr double smallestLength = 1e-12;

void checkDense(const EncoderSpec& spec) {
  int64_t width = spec.architecture.hiddenSize;
  for (const auto& dense : spec.dense) {
    if (dense.inputs != width || dense.outputs < 1) {
      throw invalidArgument("Expected a dense layer of " + std::to_string(width) +
                            " inputs, as many as come in, and 1 or more outputs but received " +
                            std::to_string(dense.inputs) + " and " + std::to_string(dense.outputs) +
                            " (" + dense.file + ").");
    }
    width = dense.outputs;
  }
}

void checkDecoder(const EncoderSpec& spec) {
  const auto& [layers, startId, outputIds, scale] = spec.decoder;
  if (layers == 0) return;
  const int64_t most = spec.architecture.vocabularySize - 1;
  bool isWithin = layers > 0 && startId >= 0 && startId <= most && !outputIds.empty();
  for (const int64_t id : outputIds) isWithin = isWithin && id >= 0 && id <= most;
  if (isWithin && std::isfinite(scale)) return;
  throw invalidArgument("Expected token ids from 0 to " + std::to_string(most) +
                        " for decoder.startId and decoder.outputIds, and a finite outputScale.");
}

void checkSpec(const EncoderSpec& spec) {
  checkArchitecture(spec.architecture);
  checkDense(spec);
  checkDecoder(spec);
  if (spec.files.empty()) throw invalidArgument("Expected at least one weights file in files.");
  const bool isCuda = spec.device == "cuda" || spec.device.starts_with("cuda:");
  const std::string number = spec.device.size() > 5 ? spec.device.substr(5) : "0";
  if (spec.device != "cpu" && (!isCuda || number.size() > 3 ||
                               number.find_first_not_of("0123456789") != std::string::npos)) {
    throw invalidArgument("Expected 'cpu', 'cuda' or 'cuda:N' for device but received \"" +
                          spec.device + "\".");
  }
  if (spec.precision == Precision::Int8 && (isCuda || spec.kernels != Kernels::Fused)) {
    throw invalidArgument(
        "Expected device 'cpu' and kernels 'fused' for precision 'int8', which has kernels of its "
        "own for the CPU alone.");
  }
  if (isCuda && !at::hasCUDA()) {
    throw Error(
        "UNSUPPORTED",
        "Expected a CUDA device for " + spec.device +
            " but this libtorch sees none; use device 'cpu', or point LIBTORCH at a CUDA build.");
  }
}

}  // namespace

Encoder::Encoder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Encoder::~Encoder() = default;

std::unique_ptr<Encoder> Encoder::load(const EncoderSpec& spec, const CancelToken& cancel) {
  const at::NoGradGuard noGrad;
  checkSpec(spec);
  auto impl = std::make_unique<Impl>(spec);
  std::vector<SafetensorsFile*> files, denseFiles;
  for (const auto& path : spec.files) {
    impl->files.push_back(std::make_unique<SafetensorsFile>(path));
    files.push_back(impl->files.back().get());
  }
  for (const auto& dense : spec.dense) {
    if (dense.file.empty()) {
      impl->denseFiles.emplace_back();
      denseFiles.push_back(nullptr);
      continue;
    }
    impl->denseFiles.push_back(std::make_unique<SafetensorsFile>(dense.file));
    denseFiles.push_back(impl->denseFiles.back().get());
  }
  impl->parameters.load(files, denseFiles);
  cancel.throwIfCancelled();
  return std::unique_ptr<Encoder>(new Encoder(std::move(impl)));
}

at::Tensor Encoder::Impl::embed(const JoinedTexts& texts, const MicroBatch& batch,
                                const EncodeOptions& options, EmbeddingTrace* trace) const {
  auto packed = nn::pack(texts, batch, device(), spec.architecture.paddingId);
  // The decoder reads all tokens.
  const auto read =
      spec.decoder.layers > 0 ? at::Tensor() : nn::tokensRead(packed, options.pooling);
  const auto hidden = transformer.forward(
      packed, read, {trace != nullptr ? &trace->transformer : nullptr, options.unfused});
  if (spec.decoder.layers > 0) return decoder.forward(hidden, packed);
  auto pooled = nn::pool(hidden, packed, options.pooling);
  auto rows = dense.forward(std::move(pooled.rows), trace != nullptr ? &trace->dense : nullptr);
  if (trace != nullptr) {
    trace->packed = std::move(packed);
    trace->chosen = std::move(pooled.chosen);
  }
  if (!options.normalize) return rows;
  const auto lengths = at::linalg_vector_norm(rows, 2, 1, true).clamp_min_(smallestLength);
  rows = rows / lengths;
  if (trace != nullptr) {
    trace->embeddings = rows;
    trace->lengths = lengths;
  }
  return rows;
}

// e = v / |v|, so dv = (de - e (e . de)) / |v|.
void Encoder::Impl::embedBackward(const at::Tensor& dEmbeddings, Pooling pooling,
                                  EmbeddingTrace& trace, const at::Tensor& gradient) const {
  const auto& e = trace.embeddings;
  const auto dRows = e.defined()
                         ? (dEmbeddings - e * (e * dEmbeddings).sum(1, true)).div_(trace.lengths)
                         : dEmbeddings;
  const auto dPooled = dense.backward(dRows, trace.dense, gradient);
  const auto dHidden = nn::poolBackward(dPooled, trace.packed, pooling, trace.chosen);
  const auto type = spec.precision == Precision::Bf16 ? at::kBFloat16 : at::kFloat;
  transformer.backward(dHidden.to(type), trace.packed, trace.transformer, gradient);
}

std::vector<float> Encoder::encode(const PackedTexts& texts, const EncodeOptions& options,
                                   const CancelToken& cancel) const {
  const at::NoGradGuard noGrad;
  const nn::MemoryPool pool;
  const auto& architecture = impl_->spec.architecture;
  checkPackedTexts(texts, "texts", architecture.vocabularySize, architecture.maxPositions);
  if (options.tokenBudget < 1)
    throw invalidArgument("Expected a whole number above 0 for tokenBudget.");
  const JoinedTexts joined{texts};
  MicroBatches batches(joined, options.tokenBudget);
  const auto width = static_cast<size_t>(dimension());
  // These and the copy that JavaScript gets are not of the pool.
  nn::MemoryPool::makeWay(2 * texts.count() * dimension() * static_cast<int64_t>(sizeof(float)));
  std::vector<float> out(static_cast<size_t>(texts.count()) * width);
  for (size_t i = 0; i < batches.size();) {
    cancel.throwIfCancelled();
    at::Tensor rows;
    try {
      rows = impl_->embed(joined, batches[i], options, nullptr).cpu().contiguous();
    } catch (...) {
      if (!isOutOfMemory(std::current_exception()) || !batches.halve(i)) throw;
      nn::MemoryPool::trim();
      continue;
    }
    if (!std::isfinite(rows.sum().item<float>())) {
      throw Error("NOT_FINITE",
                  "Expected finite numbers but the model gives NaN or infinity; its weights are "
                  "broken (" +
                      impl_->spec.files.front() + ").");
    }
    for (size_t row = 0; row < batches[i].size(); ++row) {
      std::memcpy(out.data() + static_cast<size_t>(batches[i][row]) * width,
                  rows.const_data_ptr<float>() + row * width, width * sizeof(float));
    }
    ++i;
  }
  return out;
}

void Encoder::save(const SaveFiles& files) const {
  const at::NoGradGuard noGrad;
  const auto& impl = *impl_;
  if (!files.dense) {
    std::vector<Impl::FilePart> all;
    for (int64_t i = -1; i < static_cast<int64_t>(impl.denseFiles.size()); ++i)
      all.push_back({i, true});
    impl.saveParts(files.transformer, all);
    return;
  }
  if (files.dense->size() != impl.denseFiles.size()) {
    throw invalidArgument("Expected " + std::to_string(impl.denseFiles.size()) +
                          " files for the dense layers but received " +
                          std::to_string(files.dense->size()) + ".");
  }
  impl.saveParts(files.transformer, {{-1, false}});
  for (size_t i = 0; i < files.dense->size(); ++i)
    impl.saveParts((*files.dense)[i], {{static_cast<int64_t>(i), false}});
}

void Encoder::Impl::saveParts(const std::string& file, const std::vector<FilePart>& parts) const {
  const auto master = parameters.master().cpu().contiguous();
  const auto* numbers = master.const_data_ptr<float>();
  std::map<std::string, TensorBytes> tensors;
  std::map<std::string, std::string> metadata{{"format", "pt"}};
  const auto copy = [&](const SafetensorsFile& source) {
    if (std::filesystem::exists(file) && std::filesystem::equivalent(file, source.path())) {
      throw invalidArgument("Expected another file than " + file +
                            ", which the weights were read from.");
    }
    metadata.insert(source.metadata().begin(), source.metadata().end());
    for (const auto& [name, info] : source.tensors())
      tensors[name] = {info, source.data(info), info.end - info.begin};
    // They would stay as they were when the weight changes, and disagree with it.
    for (const auto& name : spec.copies) tensors.erase(name);
  };
  for (const auto& part : parts) {
    if (part.dense < 0) {
      for (const auto& source : files) copy(*source);
    } else if (!part.isJoined) {
      copy(*denseFiles[static_cast<size_t>(part.dense)]);
    }
  }
  // A source may have been joined of all parts.
  for (const auto& tensor : parameters.fileTensors()) {
    if (tensor.dense >= 0) tensors.erase(tensor.name);
  }
  for (const auto& part : parts) {
    for (const auto& tensor : parameters.fileTensors()) {
      if (tensor.dense != part.dense) continue;
      tensors[part.isJoined ? tensor.name : tensor.nameInFile()] = {
          {"F32", tensor.shape},
          reinterpret_cast<const std::byte*>(numbers + tensor.offset),
          static_cast<uint64_t>(tensor.elements) * sizeof(float)};
    }
  }
  writeSafetensors(file, std::move(tensors), metadata);
}

int64_t Encoder::dimension() const {
  return impl_->spec.dimension();
}
const EncoderSpec& Encoder::spec() const {
  return impl_->spec;
}

std::vector<std::string> Encoder::parameterNames() const {
  std::vector<std::string> names;
  for (const auto& tensor : impl_->parameters.fileTensors()) names.push_back(tensor.name);
  return names;
}

std::vector<float> Encoder::parameter(const std::string& name) const {
  const at::NoGradGuard noGrad;
  const auto& place = impl_->parameters.fileTensor(name);
  const auto values =
      impl_->parameters.master().narrow(0, place.offset, place.elements).cpu().contiguous();
  const auto* first = values.const_data_ptr<float>();
  return {first, first + place.elements};
}

}  // namespace listwise::core
