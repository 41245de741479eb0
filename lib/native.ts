import type { EncoderSpec, Pooling, Precision } from './encoder-spec.js';
import { type ErrorCode, ListwiseError, NativeError } from './errors.js';
import type { NativeEnvironment } from './native-environment.js';
import { loadAddon } from './setup/addon.js';
import { SetupError } from './setup/errors.js';

export type * from './encoder-spec.js';

/**
 * The whole surface of the C++ addon, and the only module that touches it. Ids and rows are whole numbers, matrices are
 * row-major, sequences are packed: text i is ids[offsets[i]] to ids[offsets[i + 1] - 1], and nothing is padded.
 *
 * Typed arrays are read in place on another thread: until a job's promise settles they must not be changed, and their
 * buffers not be transferred to a worker, which Node-API gives an addon no way to prevent.
 */
export interface PackedTexts {
  /** Token ids of all texts, one after the other. */
  ids: Int32Array;
  /** Where each text starts, and the end: texts + 1 numbers, from 0 to ids.length. */
  offsets: Int32Array;
  /** Of pairs: for each text how many tokens come before those of type 1, its second part. Default: all are of type 0. */
  secondStarts?: Int32Array;
}

export interface EncodeArgs extends PackedTexts {
  pooling: Pooling;
  /** Divide each embedding by its length. */
  normalize: boolean;
  /** Most tokens in one micro-batch; a longer text is a micro-batch of its own. */
  tokenBudget: number;
}

export interface LossOptions {
  /** Temperature of the student's softmax in the listwise loss. */
  studentTemperature: number;
  /** Temperature of the teacher's softmax. */
  teacherTemperature: number;
  /** Temperature of InfoNCE. */
  contrastiveTemperature: number;
  /** Weight of InfoNCE beside the listwise loss, which has weight `listwiseWeight`. */
  contrastiveWeight: number;
  listwiseWeight: number;
  /** A query's own candidates whose teacher score is above this share of its positive's are no negatives. */
  maskThreshold: number;
}

/** N queries with a list of L passages each; passages are rows of the batch's distinct passages. */
export interface Lists {
  /** N × L rows into the passages; column 0 is the positive. */
  rows: Int32Array;
  /** N × L teacher scores. */
  teacher: Float64Array;
  /** L. */
  listLength: number;
}

/** How a batch goes through the model. */
interface PassArgs {
  pooling: Pooling;
  tokenBudget: number;
  /** Bytes of activations that may be kept for the backward pass; micro-batches beyond them run forward twice. */
  keepBytes: number;
}

/** A batch that an embedding model learns from. */
export interface BatchArgs extends Lists, PassArgs {
  queries: PackedTexts;
  /** The distinct passages of the batch, each once. */
  passages: PackedTexts;
  loss: LossOptions;
}

/** How a cross-encoder's logits become a loss: csrc/core/scoring_loss_gradient.h has the definitions. */
export type PairLoss = 'listwise' | 'bce';

/** A batch that a cross-encoder learns from: N queries, each with the L passages of its list. */
export interface PairBatchArgs extends PassArgs {
  /** N × L pairs, list after list; each gives one number, its logit. */
  pairs: PackedTexts;
  /** N × L, at least 0. 'listwise': each list has one above 0. 'bce': none is above 1. */
  labels: Float64Array;
  /** L. */
  listLength: number;
  loss: PairLoss;
}

export interface StepArgs extends BatchArgs {
  learningRate: number;
}

export type PairStepArgs = PairBatchArgs & Pick<StepArgs, 'learningRate'>;

export interface Losses {
  /** KL from teacher to student, in nats, mean over queries. */
  listwise: number;
  /** InfoNCE, in nats, mean over queries. */
  contrastive: number;
  loss: number;
}

/** The losses of either kind of model: a cross-encoder has one alone. */
export type AnyLosses = Pick<Losses, 'loss'> & Partial<Losses>;

/** What a step says of itself beside the losses. */
export interface StepFacts {
  /** Length of the whole gradient before clipping. */
  gradNorm: number;
  /** Tokens of the batch, each text once. */
  tokens: number;
  /** Tokens whose forward pass ran twice, for want of `keepBytes`. */
  recomputedTokens: number;
  /** The token budget at the end of the step: less than was asked for where memory ran out. */
  tokenBudget: number;
  /** The most bytes of activations that were kept for the backward pass. */
  keptBytes: number;
  /**
   * Most bytes of matrices, the pool's included, beside weights, gradient, moments and what lay idle from earlier; 0 where
   * a GPU cannot tell.
   */
  peakBytes: number;
  /** How often memory ran out. Each time, what was kept is let go, the budget halved and the micro-batch repeated. */
  shortages: number;
}

export interface StepResult extends StepFacts, Omit<Losses, 'contrastive'> {
  /** Missing where `contrastiveWeight` is 0: a step does not compute what it has no use for. */
  contrastive?: number;
}

/** What a step's memory is made of, for planning `tokenBudget` and `keepBytes`. All in bytes. */
export interface TrainerMemory {
  /** Activations of one token, if they are kept for the backward pass. Fewer are, where pooling reads one token a text. */
  traceBytesPerToken: number;
  /** What each token of the micro-batch under way takes beside them, at most. */
  workBytesPerToken: number;
  /** The embedding of a text, query or passage; of a pair its logit. */
  bytesPerText: number;
  /** What the loss takes for a query, and for a slot of its list. */
  bytesPerQuery: number;
  bytesPerSlot: number;
  /** The blocks of the loss of embeddings, whatever the batch; that of pairs has none. */
  lossBytes: number;
  /** The gradient and the optimiser's moments together; the first step makes them. */
  stateBytes: number;
  /** How much of `stateBytes` is there already. */
  stateBytesMade: number;
  /** RAM that this process holds from earlier steps for the next one. It is not free, but the step may plan with it. */
  idleBytes: number;
  /** Free on the GPU; missing on the CPU, and where libtorch (before 2.10, unless nvcc was there) cannot tell. */
  freeDeviceBytes?: number;
}

export interface OptimizerOptions {
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
  /** Gradients longer than this are scaled to it; 0 leaves them. */
  clip: number;
}

export interface LossArgs extends Lists {
  /** N × dimension. */
  queries: Float64Array;
  /** U × dimension. */
  passages: Float64Array;
  dimension: number;
  loss: LossOptions;
}

export interface LossGradients extends Omit<Losses, 'contrastive'> {
  /** Missing where `contrastiveWeight` is 0, as in a step. */
  contrastive?: number;
  gradQueries: Float64Array;
  gradPassages: Float64Array;
}

export interface SearchArgs {
  queries: Float32Array;
  /** fp32 numbers, or bf16 ones: the upper halves of fp32 numbers. */
  corpus: Float32Array | Uint16Array;
  dimension: number;
  /** How many rows to keep per query. */
  k: number;
  /** Number of the corpus block's first row; rows are counted from the whole corpus' start. */
  firstRow: number;
  /** The result over the earlier blocks, if there were any. */
  best?: TopK;
}

/** Best first; equal scores by row, lowest first. Where the corpus has fewer than k rows, rows are -1. */
export interface TopK {
  rows: Int32Array;
  scores: Float32Array;
}

/** Native work under way: `cancel` makes it reject with code ABORTED within one micro-batch. */
export interface NativeJob<T> {
  promise: Promise<T>;
  cancel(): void;
}

export interface NativeEncoder {
  readonly dimension: number;
  readonly device: string;
  readonly precision: Precision;
  /** Texts × dimension embeddings, in the order of the texts. */
  encode(args: EncodeArgs): NativeJob<Float32Array>;
  /**
   * Writes the weights under the names they were read by, other tensors of the source files included. Dense layers go
   * into files of their own where these are given, else into the same one, joined, their names with `dense.N.` before.
   */
  save(args: { file: string; denseFiles?: string[] }): NativeJob<void>;
  /** Names, as in the weights file, of the parameters that training changes. */
  parameterNames(): string[];
  parameter(name: string): Float32Array;
  dispose(): void;
}

export interface NativeTrainer {
  /** One optimiser step over the whole batch. When it rejects, the weights are as before. */
  step(args: StepArgs): NativeJob<StepResult>;
  step(args: StepArgs | PairStepArgs): NativeJob<StepFacts & AnyLosses>;
  /** The losses of a batch, without a step. */
  evaluate(args: BatchArgs): NativeJob<Losses>;
  evaluate(args: BatchArgs | PairBatchArgs): NativeJob<AnyLosses>;
  /** Tokens of the step under way that are done, of `total`; both passes counted. */
  progress(): { done: number; total: number };
  /** @throws NativeError with code BUSY while a step runs */
  memory(): TrainerMemory;
  /** The last step's gradient of a parameter, after clipping. */
  gradient(name: string): Float32Array;
  /** Steps taken. */
  readonly steps: number;
  /** Writes the optimiser's moments and step count as safetensors. */
  saveState(args: { file: string }): NativeJob<void>;
  loadState(args: { file: string }): NativeJob<void>;
  dispose(): void;
}

export interface NativeAddon {
  loadEncoder(spec: EncoderSpec): NativeJob<NativeEncoder>;
  /**
   * The trainer holds the encoder: while a step runs, the encoder is busy.
   * @throws NativeError with code UNSUPPORTED for an encoder in int8 or with a decoder
   */
  createTrainer(encoder: NativeEncoder, optimizer: OptimizerOptions): NativeTrainer;
  losses(args: LossArgs): NativeJob<LossGradients>;
  search(args: SearchArgs): NativeJob<TopK>;
  environment(): NativeEnvironment;
  /** Cancels every job of this thread. */
  cancelAll(): void;
}

let addon: NativeAddon | undefined;

/** The addon, loaded at first use. @throws ListwiseError with code SETUP and what to do, if it cannot be. */
export function native(): NativeAddon {
  if (!addon) {
    const loaded = load();
    // process.exit() does not wait for a job by itself, and runs no clean-up hook of an addon.
    process.once('exit', () => loaded.cancelAll());
    addon = loaded;
  }
  return addon;
}

function load(): NativeAddon {
  try {
    return loadAddon() as NativeAddon;
  } catch (error) {
    throw error instanceof SetupError ? new ListwiseError('SETUP', error.message, { cause: error }) : error;
  }
}

/**
 * Waits for native work and passes an abort on to it. Errors of the addon become NativeError with the addon's code.
 * @throws `signal.reason` if the signal fires before the work ends
 */
export async function runJob<T>(start: () => NativeJob<T>, signal?: AbortSignal): Promise<T> {
  signal?.throwIfAborted();
  let job: NativeJob<T>;
  try {
    job = start();
  } catch (error) {
    throw fromNative(error);
  }
  const cancel = () => job.cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    return await job.promise;
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw fromNative(error);
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}

function fromNative(error: unknown): unknown {
  if (error instanceof ListwiseError || !(error instanceof Error)) return error;
  const code = (error as { code?: ErrorCode }).code;
  return code ? new NativeError(code, error.message, { cause: error }) : error;
}
