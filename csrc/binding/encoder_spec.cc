#include "args.h"

namespace listwise::binding {
namespace {

// In the order of core::Precision.
const std::vector<std::string> precisions = {"fp32", "bf16", "int8"};

core::AttentionKind readAttentionKind(Args& args) {
  core::AttentionKind kind;
  kind.window = args.integer("window");
  for (const double frequency : args.numberList("frequencies"))
    kind.frequencies.push_back(static_cast<float>(frequency));
  args.done();
  return kind;
}

core::RelativePositions readRelativePositions(Args args) {
  core::RelativePositions relative{args.integer("buckets"), args.integer("maxDistance")};
  args.done();
  return relative;
}

void readSizes(Args& args, core::Architecture& out) {
  out.vocabularySize = args.integer("vocabularySize");
  out.hiddenSize = args.integer("hiddenSize");
  out.layers = args.integer("layers");
  out.heads = args.integer("heads");
  out.headSize = args.integer("headSize");
  out.intermediateSize = args.integer("intermediateSize");
  out.maxPositions = args.integer("maxPositions");
  out.positionRows = args.integer("positionRows");
  if (args.has("paddingId")) out.paddingId = args.integer("paddingId");
  out.tokenTypes = args.integer("tokenTypes");
}

core::Architecture readArchitecture(Args args) {
  core::Architecture out;
  readSizes(args, out);
  out.norm = static_cast<core::NormKind>(args.choice("norm", {"layer", "rms"}));
  out.normPlace = static_cast<core::NormPlace>(args.choice("normPlace", {"after", "before"}));
  out.normEps = args.number("normEps");
  out.activation = static_cast<core::Activation>(
      args.choice("activation", {"gelu", "gelu-tanh", "relu", "silu"}));
  out.feedForward = static_cast<core::FeedForward>(
      args.choice("feedForward", {"plain", "gated-by-first", "gated-by-second"}));
  out.scoreScale = args.number("scoreScale");
  if (args.has("relative")) out.relative = readRelativePositions(args.object("relative"));
  for (auto& kind : args.objects("attention")) out.attention.push_back(readAttentionKind(kind));
  for (const double kind : args.numberList("attentionOfLayer"))
    out.attentionOfLayer.push_back(static_cast<int64_t>(kind));
  args.done();
  return out;
}

core::NamedPair readNames(Args args) {
  core::NamedPair names{args.string("weight"), ""};
  if (args.has("bias")) names.bias = args.string("bias");
  args.done();
  return names;
}

core::DecoderSpec readDecoder(Args args) {
  core::DecoderSpec out;
  out.layers = args.integer("layers");
  out.startId = args.integer("startId");
  for (const double id : args.numberList("outputIds"))
    out.outputIds.push_back(static_cast<int64_t>(id));
  out.outputScale = args.number("outputScale");
  args.done();
  return out;
}

core::DenseSpec readDense(Args& args) {
  core::DenseSpec dense;
  if (args.has("file")) dense.file = args.string("file");
  if (args.has("names")) dense.names = readNames(args.object("names"));
  if (dense.file.empty() == dense.names.weight.empty())
    throw core::invalidArgument("Expected either file or names for a dense layer.");
  if (args.has("norm")) {
    auto norm = args.object("norm");
    dense.norm = {readNames(norm.object("names")), norm.number("eps")};
    norm.done();
  }
  dense.inputs = args.integer("inputs");
  dense.outputs = args.integer("outputs");
  dense.bias = args.boolean("bias");
  dense.activation = static_cast<core::DenseActivation>(
      args.choice("activation", {"identity", "tanh", "relu", "gelu", "sigmoid"}));
  args.done();
  return dense;
}

}  // namespace

const std::string& nameOf(core::Precision precision) {
  return precisions[static_cast<size_t>(precision)];
}

core::EncoderSpec readEncoderSpec(Args& args) {
  core::EncoderSpec spec;
  spec.files = args.strings("files");
  spec.weightNames = args.stringMap("weightNames");
  if (args.has("copies")) spec.copies = args.strings("copies");
  spec.device = args.string("device");
  spec.precision = static_cast<core::Precision>(args.choice("precision", precisions));
  if (args.has("dense")) {
    for (auto& dense : args.objects("dense")) spec.dense.push_back(readDense(dense));
  }
  if (args.has("decoder")) spec.decoder = readDecoder(args.object("decoder"));
  if (args.has("kernels")) {
    spec.kernels =
        static_cast<core::Kernels>(args.choice("kernels", {"fused", "portable", "device"}));
  }
  spec.architecture = readArchitecture(args.object("architecture"));
  return spec;
}

}  // namespace listwise::binding
