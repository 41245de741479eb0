import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readNpy } from '../candidates/npy.js';
import type { EncodeTexts, TextEmbedder } from '../evaluation/retrieval.js';
import { type ModelDirectory, readModelDirectory } from '../models/directory.js';
import type { ModelSettings } from '../models/settings.js';
import { ONNX_FILES, type OnnxFormat } from './onnx.js';
import { hasPackage, type PythonOptions, PythonWorker } from './python.js';

/**
 * Encodes as onnxruntime's users do: transformers' tokeniser, padding, and pooling, Dense modules and normalising in
 * Python, by sentence-transformers' definitions and not by our code.
 */
const ONNX_PROGRAM = `
import numpy, onnxruntime, transformers
def last(states, mask):
    return states[numpy.arange(len(states)), mask.sum(1).astype(int) - 1]
def weighted(states, mask):
    places = mask * numpy.arange(1, mask.shape[1] + 1, dtype=numpy.float32)
    return (states * places[:, :, None]).sum(1) / places.sum(1, keepdims=True)
def total(states, mask):
    return (states * mask[:, :, None]).sum(1)
POOLS = {
    "mean": lambda states, mask: total(states, mask) / mask.sum(1, keepdims=True),
    "mean-sqrt-length": lambda states, mask: total(states, mask) / numpy.sqrt(mask.sum(1, keepdims=True)),
    "first-token": lambda states, mask: states[:, 0],
    "last-token": last,
    "weighted-mean": weighted,
    "max": lambda states, mask: numpy.where(mask[:, :, None] > 0, states, -numpy.inf).max(1),
}
def dense(layer):
    import torch
    from safetensors.torch import load_file
    weights = {name: value.float() for name, value in load_file(layer["file"]).items()}
    activation = getattr(torch.nn, layer["class"])()
    linear = lambda rows: torch.nn.functional.linear(rows, weights["linear.weight"], weights.get("linear.bias"))
    return lambda rows: activation(linear(torch.from_numpy(rows))).numpy()
tokenizer = None
for given in requests():
    if tokenizer is None:
        tokenizer = transformers.AutoTokenizer.from_pretrained(given["transformer"])
        tokenizer.padding_side = tokenizer.truncation_side = "right"
        session = onnxruntime.InferenceSession(given["file"], providers=["CPUExecutionProvider"])
        names = [one.name for one in session.get_inputs()]
        layers = [dense(layer) for layer in given["dense"]]
    texts = [text.lower() for text in given["texts"]] if given["lowerCase"] else given["texts"]
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    rows = numpy.zeros((len(texts), given["dimension"]), dtype=numpy.float32)
    for start in range(0, len(order), 32):
        part = order[start:start + 32]
        batch = tokenizer([texts[i] for i in part], padding=True, truncation=True, max_length=given["maxLength"],
                          return_tensors="np")
        states = session.run(None, {name: batch[name].astype(numpy.int64) for name in names})[0]
        pooled = POOLS[given["pooling"]](states, batch["attention_mask"].astype(numpy.float32))
        for layer in layers:
            pooled = layer(pooled)
        if given["normalize"]:
            pooled = pooled / numpy.linalg.norm(pooled, axis=1, keepdims=True)
        rows[part] = pooled
    numpy.save(given["output"], rows)
`;

const SENTENCE_TRANSFORMERS_PROGRAM = `
import numpy
from sentence_transformers import SentenceTransformer
model = None
for given in requests():
    if model is None:
        model = SentenceTransformer(given["directory"], device="cpu")
    model.max_seq_length = given["maxLength"]
    rows = model.encode(given["texts"], prompt="", normalize_embeddings=given["normalize"], show_progress_bar=False)
    numpy.save(given["output"], rows.astype(numpy.float32))
`;

/** PyTorch's classes of the activations that Dense modules have. */
const ACTIVATIONS = { identity: 'Identity', tanh: 'Tanh', relu: 'ReLU', gelu: 'GELU', sigmoid: 'Sigmoid' } as const;

interface Parts {
  directory: ModelDirectory;
  settings: ModelSettings;
  worker: PythonWorker;
  /** What the program is given beside texts, length and output. */
  request: object;
}

/** A model as another library reads it, in the user's Python. */
class PythonReader implements TextEmbedder, AsyncDisposable {
  readonly dimension: number;
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.dimension = parts.directory.dense.at(-1)?.outputs ?? parts.directory.architecture.hiddenSize;
  }

  async encode(texts: readonly string[], options: EncodeTexts): Promise<Float32Array> {
    const { kind, signal } = options;
    const { directory, settings, worker, request } = this.#parts;
    const prefix = kind === 'query' ? settings.queryPrefix : settings.passagePrefix;
    const own = kind === 'query' ? settings.queryMaxLength : settings.maxLength;
    const temporary = await mkdtemp(join(tmpdir(), 'listwise-export-'));
    try {
      const output = join(temporary, 'embeddings.npy');
      const given = {
        ...{ ...request, directory: directory.directory, texts: texts.map((text) => prefix + text) },
        ...{ pooling: settings.pooling, normalize: settings.normalize, maxLength: options.maxLength ?? own },
        ...{ dimension: this.dimension, output },
      };
      await worker.ask(given, signal);
      return (await readNpy(output, signal ? { signal } : {})).values;
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#parts.worker[Symbol.asyncDispose]();
  }
}

/** Of which directory's files readers are wanted. */
export interface ReadersOptions extends PythonOptions {
  /** Those that our own Embedder settled for the model, so that all read texts alike. */
  settings: ModelSettings;
  formats: readonly OnnxFormat[];
}

/** Other readers of a model by name. Each has a process until it is disposed of. */
export class Readers implements AsyncDisposable {
  readonly #readers = new Map<string, PythonReader>();

  /**
   * The readers of an exported directory: onnxruntime for each format, and sentence-transformers where Python has it.
   * @throws what readModelDirectory and hasPackage throw
   */
  static async open(place: string, options: ReadersOptions): Promise<Readers> {
    const { settings, formats, python, signal } = options;
    const directory = await readModelDirectory(place);
    const hasSentenceTransformers = await hasPackage('sentence_transformers', { python, signal });
    const common = { directory, settings };
    const transformer = join(directory.directory, directory.transformerPath);
    const dense = directory.dense.map(({ file, activation }) => ({ file, class: ACTIVATIONS[activation] }));
    const readers = new Readers();
    for (const format of formats) {
      const file = join(directory.directory, ONNX_FILES[format]);
      const request = { transformer, file, lowerCase: directory.lowerCase, dense };
      const worker = new PythonWorker(ONNX_PROGRAM, python);
      readers.#readers.set(format, new PythonReader({ ...common, worker, request }));
    }
    if (hasSentenceTransformers) {
      const worker = new PythonWorker(SENTENCE_TRANSFORMERS_PROGRAM, python);
      readers.#readers.set('sentence-transformers', new PythonReader({ ...common, worker, request: {} }));
    }
    return readers;
  }

  get byName(): ReadonlyMap<string, TextEmbedder> {
    return this.#readers;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const reader of this.#readers.values()) await reader[Symbol.asyncDispose]();
  }
}
