import { InvalidArgumentError } from '../errors.js';
import { textCount } from '../models/packed-texts.js';
import { mostTokens } from '../models/token-budget.js';
import type { TrainerMemory } from '../native.js';
import type { Batch } from './batches.js';
import { formatMemorySize } from './memory-size.js';

/** What of a batch decides how much memory its step takes. */
export interface BatchSize {
  queries: number;
  /** Queries × list length. */
  slots: number;
  /** What the model reads: queries and distinct passages, or pairs. */
  texts: number;
  /** Tokens of all of them, and of the longest. */
  tokens: number;
  longest: number;
  /** Whether the loss is computed in blocks of passages, as that of embeddings is; that of pairs is not. */
  hasLossBlocks: boolean;
}

export interface MemoryLimits {
  device: 'cpu' | 'cuda';
  /** Bytes of RAM that are free, and that this process has; on a GPU its own free bytes count. */
  free: number;
  used: number;
  /** Most bytes that the user lets the run take, all in all. */
  maxMemory?: number;
  /** What the user set, or what was settled before. */
  tokenBudget?: number;
  keepBytes?: number;
}

/** How a step is cut to fit. The gradient is the same in each case. */
export interface MemoryPlan {
  /** What is kept from the forward pass for the backward pass: all, some, or nothing beyond one micro-batch. */
  mode: 'keep' | 'mix' | 'recompute';
  /** Most tokens of a micro-batch. */
  tokenBudget: number;
  /** Bytes of activations that may be kept. */
  keepBytes: number;
  /** Bytes that keeping all would take; fewer where pooling reads one token a text. */
  wantedBytes: number;
  /** Bytes that the step may take, and what bounds them. */
  roomBytes: number;
  boundBy: 'free memory' | 'maxMemory';
}

/** Share of the free memory that a step may plan with: others use the machine too, and a GPU's memory is in pieces. */
const SHARE = { cpu: 0.7, cuda: 0.9 };
/** What is assumed free on a GPU whose libtorch cannot tell. */
const GPU_ROOM = 2 ** 32;

export function sizeOf({ queries, passages, pairs, lists, rows }: Batch): BatchSize {
  const read = pairs ? [pairs] : [queries, passages];
  let longest = 0;
  for (const { offsets } of read) {
    for (let i = 1; i < offsets.length; i++) longest = Math.max(longest, offsets[i]! - offsets[i - 1]!);
  }
  return {
    queries: lists.length,
    slots: rows.length,
    texts: read.reduce((sum, texts) => sum + textCount(texts), 0),
    tokens: read.reduce((sum, { ids }) => sum + ids.length, 0),
    longest,
    hasLossBlocks: pairs === undefined,
  };
}

/**
 * Plans a step: what is fixed (gradient and moments that are not there yet, embeddings, the loss) comes first, then the
 * micro-batch under way, and what is left is for activations that spare a second forward pass.
 * @throws InvalidArgumentError where maxMemory has no room for one micro-batch of the longest text
 */
export function planMemory(batch: BatchSize, memory: TrainerMemory, limits: MemoryLimits): MemoryPlan {
  const { roomBytes, boundBy } = roomFor(memory, limits);
  const fixed =
    memory.stateBytes -
    memory.stateBytesMade +
    2 * batch.texts * memory.bytesPerText +
    batch.queries * memory.bytesPerQuery +
    batch.slots * memory.bytesPerSlot +
    (batch.hasLossBlocks ? memory.lossBytes : 0);
  const perToken = memory.workBytesPerToken + memory.traceBytesPerToken;
  const most = mostTokens(limits.device);
  const tokenBudget = limits.tokenBudget ?? budgetFor(roomBytes - fixed, perToken, { ...batch, most });
  const microBatch = Math.min(Math.max(tokenBudget, batch.longest), batch.tokens) * perToken;
  if (boundBy === 'maxMemory' && roomBytes < fixed + batch.longest * perToken) {
    throw tooLittle(limits.maxMemory!, takenBytes(memory, limits) + fixed + batch.longest * perToken);
  }
  const wantedBytes = batch.tokens * memory.traceBytesPerToken;
  const keepBytes = limits.keepBytes ?? Math.max(0, Math.floor(roomBytes - fixed - microBatch));
  const mode = keepBytes >= wantedBytes ? 'keep' : keepBytes >= microBatch ? 'mix' : 'recompute';
  return { mode, tokenBudget, keepBytes, wantedBytes, roomBytes, boundBy };
}

function roomFor(memory: TrainerMemory, limits: MemoryLimits): Pick<MemoryPlan, 'roomBytes' | 'boundBy'> {
  const { device, free, maxMemory } = limits;
  const available = device === 'cpu' ? free + memory.idleBytes : memory.freeDeviceBytes;
  const unbounded = available === undefined ? GPU_ROOM : SHARE[device] * available;
  const bounded = maxMemory === undefined ? Number.POSITIVE_INFINITY : maxMemory - takenBytes(memory, limits);
  const boundBy = bounded < unbounded ? 'maxMemory' : 'free memory';
  return { roomBytes: Math.max(0, Math.floor(Math.min(bounded, unbounded))), boundBy };
}

/** What the run has beside a step's own memory. */
function takenBytes(memory: TrainerMemory, { device, used }: MemoryLimits): number {
  // Weights are a third of gradient and moments; beside them stands their copy in halves.
  if (device !== 'cpu') return memory.stateBytes / 2 + memory.stateBytesMade;
  // Idle memory that was swapped out is not in use, either.
  return Math.max(0, used - memory.idleBytes);
}

/** The usual budget, halved until a micro-batch takes at most half of what there is, but one that holds any text. */
function budgetFor(room: number, perToken: number, { longest, most }: { longest: number; most: number }): number {
  let budget = most;
  while (budget > longest && budget > 64 && budget * perToken > room / 2) budget /= 2;
  return Math.max(budget, longest);
}

function tooLittle(maxMemory: number, least: number): InvalidArgumentError {
  const needed = formatMemorySize(least);
  const what = `at least ${needed}, which model, optimiser and one micro-batch take,`;
  const remedy = 'give more, or train with smaller batches, shorter texts or a smaller model';
  return new InvalidArgumentError('maxMemory', what, formatMemorySize(maxMemory), remedy);
}

/** A plan as a line for people. */
export function describePlan({ mode, tokenBudget, keepBytes, wantedBytes, roomBytes, boundBy }: MemoryPlan): string {
  const kept = {
    keep: `all activations are kept (${formatMemorySize(wantedBytes)})`,
    mix: `${formatMemorySize(keepBytes)} of ${formatMemorySize(wantedBytes)} of activations are kept, the rest is computed twice`,
    recompute: 'activations are computed twice',
  }[mode];
  return `${kept}; micro-batches of ${tokenBudget} tokens; room for a step: ${formatMemorySize(roomBytes)} (${boundBy})`;
}
