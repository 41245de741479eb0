import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { InvalidArgumentError, ListwiseError } from '../errors.js';
import { writing } from '../formats/writing.js';
import { readModelDirectory } from '../models/directory.js';
import { copyModel } from '../models/saved-model.js';
import { type PythonOptions, PythonWorker } from './python.js';

/** Files that an export adds, by format. The names are those that transformers.js and TEI look for. */
export const ONNX_FILES = { onnx: 'onnx/model.onnx', 'onnx-int8': 'onnx/model_quantized.onnx' } as const;

export type OnnxFormat = keyof typeof ONNX_FILES;

export interface OnnxOptions extends PythonOptions {
  /** The directory to make: the model's own files, and the ONNX files in `onnx/`. */
  output: string;
  /** 'onnx' is fp32; 'onnx-int8' has weights of 8 bits beside it. Both by default. */
  formats?: readonly OnnxFormat[];
}

/**
 * The exporter that traces: torch 2.13's newer one gave other embeddings for BERT without a word, off by half their
 * size. Attention is the plain one, whose operations every runtime has.
 */
const PROGRAM = `
given = json.load(sys.stdin)
import inspect, torch, transformers
family = transformers.AutoConfig.from_pretrained(given["transformer"]).model_type
# What AutoModel makes of T5 is an encoder with a decoder.
kind = transformers.T5EncoderModel if family == "t5" else transformers.AutoModel
model = kind.from_pretrained(given["transformer"], attn_implementation="eager", dtype=torch.float32).eval()
tokenizer = transformers.AutoTokenizer.from_pretrained(given["transformer"])
taken = inspect.signature(model.forward).parameters
names = [name for name in ("input_ids", "attention_mask", "token_type_ids")
         if name in tokenizer.model_input_names and name in taken]
class Encoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = model
    def forward(self, *inputs):
        return self.model(**dict(zip(names, inputs))).last_hidden_state
sample = tokenizer(["a sample", "another sample, longer"], padding=True, return_tensors="pt")
axes = {name: {0: "batch", 1: "sequence"} for name in names + ["last_hidden_state"]}
with torch.no_grad():
    torch.onnx.export(Encoder().eval(), tuple(sample[name] for name in names), given["onnx"], dynamo=False,
                      input_names=names, output_names=["last_hidden_state"], dynamic_axes=axes, opset_version=17)
if given["int8"]:
    from onnxruntime.quantization import QuantType, quantize_dynamic
    quantize_dynamic(given["onnx"], given["int8"], weight_type=QuantType.QInt8)
`;

/**
 * Exports a model to ONNX by the user's own Python (torch, transformers, onnx, onnxruntime): the output directory opens
 * in sentence-transformers (its ONNX backend too), text-embeddings-inference and transformers.js. The graph gives token
 * embeddings; pooling, Dense modules and unit length are the reader's part, as the directory's files say.
 * @param model a model's directory
 * @throws ListwiseError UNSUPPORTED, before Python runs, for a family whose Python code transformers does not have;
 *   InvalidArgumentError for a format that there is not, or an output that holds anything else than a model; what
 *   readModelDirectory and PythonWorker.run throw
 */
export async function exportOnnx(model: string, options: OnnxOptions): Promise<{ directory: string; files: string[] }> {
  const { output, formats = ['onnx', 'onnx-int8'], python, signal } = options;
  const unknown = formats.find((format) => !Object.hasOwn(ONNX_FILES, format));
  if (unknown !== undefined || formats.length === 0) {
    throw new InvalidArgumentError('formats', `one or more of ${Object.keys(ONNX_FILES).join(', ')}`, unknown);
  }
  const { transformerPath, family } = await readModelDirectory(model);
  checkFamily(family, model);
  const directory = resolve(output);
  await copyModel(model, directory);
  await writing(directory, () => mkdir(join(directory, 'onnx'), { recursive: true }));
  const request = {
    transformer: join(directory, transformerPath),
    onnx: join(directory, ONNX_FILES.onnx),
    int8: formats.includes('onnx-int8') ? join(directory, ONNX_FILES['onnx-int8']) : null,
  };
  await PythonWorker.run(PROGRAM, request, { python, signal });
  return { directory, files: formats.map((format) => ONNX_FILES[format]) };
}

/** transformers has NewModel under the name of gte alone: directories of the name `new` bring code of their own. */
function checkFamily(family: string, model: string): void {
  if (family !== 'new') return;
  throw new ListwiseError(
    'UNSUPPORTED',
    `${model} has model_type "new" (NewModel), which transformers loads only by running Python code from the Hub, and ` +
      'listwise runs none. Serve model.safetensors itself, or take the ONNX file that the base model has on the Hub if ' +
      'its weights are what you want.',
  );
}
