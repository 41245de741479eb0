import { InvalidArgumentError, ListwiseError } from '../errors.js';
import { type Device, type EncoderSpec, type NativeEncoder, native, type Precision, runJob } from '../native.js';
import type { NativeEnvironment } from '../native-environment.js';
import type { LongWork } from '../types.js';
import { denseSpecs } from './dense-module.js';
import { type ModelDirectory, readModelDirectory } from './directory.js';
import { resolveModel } from './hub.js';
import { checkSettings, type ModelSettings, settleSettings } from './settings.js';
import { Tokenizer } from './tokenizer.js';

export interface ModelOptions extends Partial<ModelSettings>, LongWork {
  /** Where to compute; 'auto', the default, is the first CUDA device if there is one, else the CPU. */
  device?: Device | 'auto';
  /**
   * Numbers inside the encoder. Default 'bf16' on CUDA, 'fp32' on the CPU. 'int8', on the CPU, is for encoding and
   * scoring: the linear layers multiply whole numbers of 8 bits. Embeddings are a little off those of fp32.
   */
  precision?: Precision;
  /** Branch, tag or commit on the Hub. */
  revision?: string;
}

/** Names of ModelOptions, for refusing others. */
export const modelOptionNames: readonly string[] = [
  'device',
  'precision',
  'revision',
  'pooling',
  'normalize',
  'queryPrefix',
  'passagePrefix',
  'maxLength',
  'queryMaxLength',
  'signal',
  'onProgress',
] satisfies (keyof ModelOptions)[];

/** A model ready to compute: its directory as read, its settings, its tokenizer and its weights in the addon. */
export interface EmbeddingModel {
  /** As the caller named it: a Hub name or a path. */
  name: string;
  directory: ModelDirectory;
  settings: ModelSettings;
  tokenizer: Tokenizer;
  encoder: NativeEncoder;
}

/**
 * Loads a model from a local directory or the Hub.
 * @param name a directory, or a Hub name such as `sentence-transformers/all-MiniLM-L6-v2`
 * @throws NotFoundError, ModelError, ListwiseError UNSUPPORTED as readModelDirectory does
 * @throws InvalidArgumentError for an option's value that cannot be; ListwiseError UNSUPPORTED for a device that the
 *   machine does not have
 */
export async function loadModel(name: string, options: ModelOptions = {}): Promise<EmbeddingModel> {
  const { device = 'auto', precision, revision, signal, onProgress, ...wishes } = options;
  if (typeof name !== 'string' || name === '') {
    throw new InvalidArgumentError('model', 'a directory or a name on the Hub', name);
  }
  const place = settleDevice(device, precision);
  const directory = await readModelDirectory(await resolveModel(name, { revision, signal, onProgress }));
  const settings = settleSettings(name, directory, wishes);
  const tokenizer = await Tokenizer.load(directory);
  checkSettings(settings, tokenizer);
  const loading = runJob(() => native().loadEncoder({ ...encoderSpec(directory), ...place }), signal);
  const encoder = await loading.catch((error: unknown) => {
    throw explainDeviceError(error, place.device);
  });
  return { name, directory, settings, tokenizer, encoder };
}

/** What the addon reads a model directory's weights by. */
export function encoderSpec(
  directory: ModelDirectory,
): Pick<EncoderSpec, 'files' | 'architecture' | 'weightNames' | 'copies' | 'dense'> {
  const { architecture, weightNames, copies, weightFiles: files } = directory;
  return { files, architecture, weightNames, copies, dense: denseSpecs(directory.dense) };
}

/** Takes weights from a file that save() of this model's encoder wrote; the encoder is another one afterwards. */
export async function replaceWeights(model: EmbeddingModel, file: string, signal?: AbortSignal): Promise<void> {
  const { device, precision } = model.encoder;
  model.encoder.dispose();
  const spec = { ...encoderSpec(model.directory), files: [file], device: device as Device, precision };
  model.encoder = await runJob(() => native().loadEncoder(spec), signal);
}

/** What libtorch says, in one of its layers or another, of a device whose number is beyond those of the machine. */
const NO_SUCH_DEVICE = /invalid device (ordinal|argument)|device (index|number)|not initialized for device/i;

/** The native error of a CUDA device that is not there, as one that says what to do; any other as it is. */
export function explainDeviceError(error: unknown, device: Device): unknown {
  if (!device.startsWith('cuda') || !(error instanceof ListwiseError) || error.code !== 'INTERNAL') return error;
  if (!NO_SUCH_DEVICE.test(error.message)) return error;
  return new ListwiseError(
    'UNSUPPORTED',
    `Device '${device}' was asked for, but this machine has no CUDA device of that number. They count from 0: use ` +
      "'cuda:0' or 'cuda' for the first; CUDA_VISIBLE_DEVICES may hide others.",
    { cause: error },
  );
}

/** The oldest GPUs that multiply in bf16: Ampere. Earlier ones emulate it, slower than fp32, or refuse. */
const BF16_CAPABILITY = 8;

/**
 * The device and precision that were asked for, or the defaults: bf16 on a GPU that has it, fp32 elsewhere.
 * @throws ListwiseError UNSUPPORTED for a GPU where there is none, and for bf16 on one that lacks it
 */
export function settleDevice(
  wanted: Device | 'auto',
  precision: Precision | undefined,
  machine: Pick<NativeEnvironment, 'cuda' | 'devices'> = native().environment(),
): { device: Device; precision: Precision } {
  if (!/^(auto|cpu|cuda(:\d+)?)$/.test(wanted)) {
    throw new InvalidArgumentError('device', "'auto', 'cpu', 'cuda' or 'cuda:N'", wanted);
  }
  if (precision !== undefined && !['fp32', 'bf16', 'int8'].includes(precision)) {
    throw new InvalidArgumentError('precision', "'fp32', 'bf16' or 'int8'", precision);
  }
  const { cuda } = machine;
  const device = wanted === 'auto' ? (cuda && precision !== 'int8' ? 'cuda' : 'cpu') : wanted;
  if (device !== 'cpu' && !cuda) {
    throw new ListwiseError(
      'UNSUPPORTED',
      `Device '${device}' was asked for, but this libtorch finds no CUDA device. Use 'cpu', or point LIBTORCH at a ` +
        'CUDA build on a machine that has one.',
    );
  }
  if (device === 'cpu' && precision === 'bf16') {
    throw new InvalidArgumentError('precision', "'fp32' or 'int8' on the CPU", precision);
  }
  if (device !== 'cpu' && precision === 'int8') {
    throw new InvalidArgumentError('precision', "'bf16' or 'fp32' on CUDA", precision);
  }
  if (device === 'cpu') return { device, precision: precision ?? 'fp32' };
  const capability = machine.devices[Number(device.split(':')[1] ?? 0)] ?? 'unknown';
  const lacksBf16 = Number.parseFloat(capability) < BF16_CAPABILITY;
  if (lacksBf16 && precision === 'bf16') {
    throw new ListwiseError(
      'UNSUPPORTED',
      `Precision 'bf16' was asked for on '${device}', a GPU of compute capability ${capability}, but only those from ` +
        `${BF16_CAPABILITY}.0 on compute in it. Use 'fp32', which is the default there.`,
    );
  }
  return { device, precision: precision ?? (lacksBf16 ? 'fp32' : 'bf16') };
}
