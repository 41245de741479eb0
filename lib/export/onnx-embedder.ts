import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readNpy } from '../candidates/npy.js';
import type { EncodeTexts, TextEmbedder } from '../evaluation/retrieval.js';
import { type ModelDirectory, readModelDirectory } from '../models/directory.js';
import type { ModelSettings } from '../models/settings.js';
import { ONNX_FILES, type OnnxFormat } from './onnx.js';
import { type PythonOptions, runPython } from './python.js';

/** Encodes as onnxruntime's users do: Hugging Face's tokeniser from Python, padding, pooling and normalising, not ours. */
const PROGRAM = `
import json, sys
given = json.load(sys.stdin)
import numpy, onnxruntime, os, tokenizers
tokenizer = tokenizers.Tokenizer.from_file(os.path.join(given["transformer"], "tokenizer.json"))
with open(os.path.join(given["transformer"], "config.json"), encoding="utf8") as file:
    pad = json.load(file).get("pad_token_id") or 0
tokenizer.enable_truncation(given["maxLength"])
tokenizer.enable_padding(pad_id=pad)
session = onnxruntime.InferenceSession(given["file"], providers=["CPUExecutionProvider"])
names = [one.name for one in session.get_inputs()]
texts = given["texts"]
order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
rows = numpy.zeros((len(texts), given["dimension"]), dtype=numpy.float32)
for start in range(0, len(order), 32):
    part = order[start:start + 32]
    batch = tokenizer.encode_batch([texts[i] for i in part])
    columns = {"input_ids": [one.ids for one in batch], "attention_mask": [one.attention_mask for one in batch],
               "token_type_ids": [one.type_ids for one in batch]}
    tokens = session.run(None, {name: numpy.array(columns[name], dtype=numpy.int64) for name in names})[0]
    mask = numpy.array(columns["attention_mask"], dtype=numpy.float32)[:, :, None]
    pooled = tokens[:, 0] if given["pooling"] == "first-token" else (tokens * mask).sum(1) / mask.sum(1)
    if given["normalize"]:
        pooled = pooled / numpy.linalg.norm(pooled, axis=1, keepdims=True)
    rows[part] = pooled
numpy.save(given["output"], rows)
`;

interface Parts {
  directory: ModelDirectory;
  settings: ModelSettings;
  format: OnnxFormat;
  python?: string | undefined;
}

/** An exported model, run by onnxruntime in the user's Python. */
export class OnnxEmbedder implements TextEmbedder {
  readonly dimension: number;
  readonly #parts: Parts;

  private constructor(parts: Parts) {
    this.#parts = parts;
    this.dimension = parts.directory.architecture.hiddenSize;
  }

  /** @param settings those that our own Embedder settled for the model, so that both read texts alike */
  static async open(
    directory: string,
    settings: ModelSettings,
    { format, python }: { format: OnnxFormat; python?: string | undefined },
  ): Promise<OnnxEmbedder> {
    return new OnnxEmbedder({ directory: await readModelDirectory(directory), settings, format, python });
  }

  async encode(texts: readonly string[], options: EncodeTexts): Promise<Float32Array> {
    const { kind, signal } = options;
    const { directory, settings, format, python } = this.#parts;
    const prefix = kind === 'query' ? settings.queryPrefix : settings.passagePrefix;
    const own = kind === 'query' ? settings.queryMaxLength : settings.maxLength;
    const temporary = await mkdtemp(join(tmpdir(), 'listwise-onnx-'));
    try {
      const output = join(temporary, 'embeddings.npy');
      const request = {
        transformer: join(directory.directory, directory.transformerPath),
        file: join(directory.directory, ONNX_FILES[format]),
        texts: texts.map((text) => prefix + text),
        maxLength: options.maxLength ?? own,
        ...{ pooling: settings.pooling, normalize: settings.normalize, dimension: this.dimension, output },
      };
      await runPython(PROGRAM, request, { python, signal } satisfies PythonOptions);
      return (await readNpy(output, signal ? { signal } : {})).values;
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  }
}
