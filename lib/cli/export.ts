import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ONNX_FILES, type OnnxFormat } from '../export/onnx.js';
import type { ParityRow } from '../export/parity.js';
import { type CommandSpec, UsageError } from './command.js';

export const exportCommand: CommandSpec = {
  name: 'export',
  summary: 'add ONNX files to a model, for text-embeddings-inference and transformers.js',
  description:
    'Copies a model to --output and adds onnx/model.onnx (fp32) and onnx/model_quantized.onnx (weights of 8 bits), where ' +
    "text-embeddings-inference, transformers.js and sentence-transformers' ONNX backend look for them. It is done by a " +
    'Python of yours: `pip install torch transformers onnx onnxruntime`.\n\nWith --data a table says how near each format, ' +
    "and sentence-transformers where that Python has it, is to listwise's own encoder: cosines of embeddings, and nDCG@10 " +
    'on the test set.',
  texts: { name: 'run', help: "a run directory or a model's directory" },
  options: [
    { name: 'output', kind: 'text', value: 'directory', required: true, help: 'a new directory' },
    { name: 'formats', kind: 'texts', value: 'format', help: 'onnx, onnx-int8 (default: both)' },
    { name: 'data', kind: 'text', value: 'directory', help: 'test set in the layout of BEIR to compare formats on' },
    { name: 'split', kind: 'text', value: 'name', help: 'which judgements of --data (default: test)' },
    { name: 'python', kind: 'text', value: 'program', help: 'which Python (default: $PYTHON, else python3)' },
  ],
  examples: [
    { line: 'export runs/mine --output exported --data my-test-set', purpose: 'export, and see what it costs' },
  ],
  async run(options, { signal, onProgress, say }, texts) {
    const [place, ...more] = texts;
    if (place === undefined || more.length > 0)
      throw new UsageError('export takes one run directory or model directory.');
    const { output, data, split, python } = options as {
      output: string;
      data?: string;
      split?: string;
      python?: string;
    };
    const formats = (options['formats'] ?? Object.keys(ONNX_FILES)) as OnnxFormat[];
    const model = existsSync(join(place, 'manifest.json')) ? join(place, 'model') : place;
    const { exportOnnx } = await import('../export/onnx.js');
    say('Python loads the model and traces it; a minute or so.');
    const exported = await exportOnnx(model, { output, formats, python, signal });
    const lines = exported.files.map((file) => join(exported.directory, file));
    if (data === undefined) return { json: exported, text: lines.join('\n') };
    const { Embedder } = await import('../embedder.js');
    const { Readers } = await import('../export/readers.js');
    const { parityTable } = await import('../export/parity.js');
    await using ours = await Embedder.load(exported.directory, { device: 'cpu', signal, onProgress });
    await using readers = await Readers.open(exported.directory, { settings: ours.settings, formats, python, signal });
    if (!readers.byName.has('sentence-transformers')) {
      say(
        'The table has no row of sentence-transformers, which this Python lacks: `pip install sentence-transformers`.',
      );
    }
    const parity = await parityTable(ours, readers.byName, { data, split, signal, onProgress });
    return { json: { ...exported, parity }, text: [...lines, '', ...table(parity)].join('\n') };
  },
};

function table(rows: readonly ParityRow[]): string[] {
  const cells = rows.map(({ format, minimumCosine, meanCosine, ndcg = 0, ndcgDifference = 0 }) => [
    format,
    minimumCosine.toFixed(6),
    meanCosine.toFixed(6),
    ndcg.toFixed(4),
    `${ndcgDifference < 0 ? '-' : '+'}${Math.abs(ndcgDifference).toFixed(4)}`,
  ]);
  const all = [['format', 'least cosine', 'mean cosine', 'nDCG@10', 'to ours'], ...cells];
  const widths = all[0]!.map((_, i) => Math.max(...all.map((row) => row[i]!.length)));
  return all.map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  '),
  );
}
