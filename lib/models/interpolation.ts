import { constants } from 'node:fs';
import { cp, type FileHandle, open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InvalidArgumentError, ModelError } from '../errors.js';
import { breather } from '../event-loop.js';
import { replaceFile } from '../formats/atomic.js';
import { writing } from '../formats/writing.js';
import { readModelDirectory } from './directory.js';
import { type PlacedTensor, readTensors, safetensorsHeader } from './safetensors.js';

export interface InterpolationOptions {
  /** Directories of two models of one architecture; the second as listwise saves it. */
  base: string;
  trained: string;
  /** How much of the trained weights, from 0 to 1: θ = (1 - share) · base + share · trained. */
  share: number;
  /** The directory to make; one of that name is replaced. */
  target: string;
  /** What the model's card (README.md) says, whole. */
  card: string;
  signal?: AbortSignal;
}

/** Numbers that are mixed between two turns of the event loop. */
const SLICE = 1 << 20;

/**
 * Makes a model whose weights lie between those of two: what training gained on one task is often kept in good part,
 * while what it lost elsewhere comes back.
 * @throws InvalidArgumentError if share is not in [0, 1]; ModelError if the models do not have the same tensors
 * @throws WriteError; `signal.reason` when aborted, and the target is then removed
 * @see Wortsman et al. 2022, Robust Fine-Tuning of Zero-Shot Models, arXiv:2109.01903
 */
export async function interpolateModels(options: InterpolationOptions): Promise<void> {
  const { base, trained, share, target, card, signal } = options;
  if (!(share >= 0 && share <= 1)) throw new InvalidArgumentError('share', 'a number from 0 to 1', share);
  const modules = await modulesOf(base, trained);
  for (const { from, to } of modules) checkAlike(from, to, { base, trained });
  await writing(target, async () => {
    await rm(target, { recursive: true, force: true });
    await cp(trained, target, { recursive: true, mode: constants.COPYFILE_FICLONE });
    await writeFile(join(target, 'README.md'), card);
  });
  try {
    for (const { path, from, to } of modules) {
      await writeMixed(join(target, path, 'model.safetensors'), { from, to, share, signal });
    }
  } catch (error) {
    await rm(target, { recursive: true, force: true });
    throw error;
  }
}

type Tensors = Map<string, PlacedTensor>;

/** The tensors of both models' transformer and of each dense layer, with the folder that the trained model has it in. */
async function modulesOf(base: string, trained: string): Promise<{ path: string; from: Tensors; to: Tensors }[]> {
  const [one, other] = [await readModelDirectory(base), await readModelDirectory(trained)];
  if (one.dense.length !== other.dense.length) {
    throw new ModelError(
      `Expected models of one architecture to mix, but ${trained} has ${other.dense.length} Dense modules and ${base} ` +
        `has ${one.dense.length}.`,
    );
  }
  const modules = [
    { path: other.transformerPath, from: await readTensors(one.weightFiles), to: await readTensors(other.weightFiles) },
  ];
  for (const [i, { path, file }] of other.dense.entries()) {
    modules.push({ path, from: await readTensors([one.dense[i]!.file]), to: await readTensors([file]) });
  }
  return modules;
}

function checkAlike(from: Tensors, to: Tensors, { base, trained }: { base: string; trained: string }): void {
  for (const [name, { shape }] of to) {
    const other = from.get(name);
    if (other && other.shape.join() === shape.join()) continue;
    const found = other ? `one of shape [${other.shape}]` : 'none';
    throw new ModelError(
      `Expected models of one architecture to mix, but ${trained} has a tensor ${name} of shape [${shape}] and ` +
        `${base} has ${found}.`,
    );
  }
}

interface Mixture {
  from: Tensors;
  to: Tensors;
  share: number;
  signal: AbortSignal | undefined;
}

/** Trained tensors in fp32 are mixed; others, such as position ids, are no weights and stay as they are. */
async function writeMixed(file: string, { from, to, share, signal }: Mixture): Promise<void> {
  const breathe = breather(signal);
  await using files = new OpenFiles();
  await replaceFile(file, async (handle) => {
    await writing(file, () => handle.writeFile(safetensorsHeader(to)));
    for (const [name, tensor] of to) {
      const count = tensor.shape.reduce((product, size) => product * size, 1);
      for (let at = 0; at < count; at += SLICE) {
        const slice = { at, count: Math.min(SLICE, count - at) };
        const bytes = await mixedSlice(files, { from: from.get(name)!, to: tensor, share, ...slice });
        await writing(file, () => handle.writeFile(bytes));
        await breathe();
      }
    }
  });
}

interface SliceOf {
  from: PlacedTensor;
  to: PlacedTensor;
  share: number;
  at: number;
  count: number;
}

async function mixedSlice(files: OpenFiles, { from, to, share, at, count }: SliceOf): Promise<Buffer> {
  const bytes = await files.read(to, at, count);
  if (to.dtype !== 'F32') return bytes;
  const values = new Float32Array(bytes.buffer, bytes.byteOffset, count);
  const others = asNumbers(await files.read(from, at, count), from);
  for (let i = 0; i < count; i++) values[i] = (1 - share) * others[i]! + share * values[i]!;
  return bytes;
}

const WIDTHS: Readonly<Record<string, number>> = { F64: 8, I64: 8, F32: 4, I32: 4, F16: 2, BF16: 2, I16: 2 };

/** Files that are read from, each opened once. */
class OpenFiles implements AsyncDisposable {
  readonly #handles = new Map<string, FileHandle>();

  /** Values of a tensor as bytes of their own, aligned for typed arrays. */
  async read({ file, dtype, start }: PlacedTensor, at: number, count: number): Promise<Buffer> {
    const width = WIDTHS[dtype] ?? 1;
    const handle = this.#handles.get(file) ?? (await open(file, 'r'));
    this.#handles.set(file, handle);
    const bytes = Buffer.from(new ArrayBuffer(count * width));
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, start + at * width);
    if (bytesRead < bytes.length) throw new ModelError(`${file} was cut off while it was read.`);
    return bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const handle of this.#handles.values()) await handle.close();
  }
}

function asNumbers(bytes: Buffer, { dtype, file }: PlacedTensor): ArrayLike<number> {
  const { buffer } = bytes;
  if (dtype === 'F32') return new Float32Array(buffer);
  if (dtype === 'F64') return new Float64Array(buffer);
  if (dtype === 'BF16') return new Float32Array(Uint32Array.from(new Uint16Array(buffer), (bits) => bits << 16).buffer);
  if (dtype === 'F16') return Float32Array.from(new Uint16Array(buffer), halfToNumber);
  throw new ModelError(`${file} has weights of type ${dtype}; expected F32, F16, BF16 or F64.`);
}

/** IEEE 754's binary16. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
