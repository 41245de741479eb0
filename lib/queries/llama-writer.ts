import { createRequire } from 'node:module';
import { basename, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { InvalidArgumentError, ListwiseError, NotFoundError, RemoteError } from '../errors.js';
import { Pacer } from '../http/pacer.js';
import { oneLine } from '../terminal.js';
import type { SettledEndpoint } from './llm-options.js';
import type { ChatBody } from './request.js';
import type { Completion, Writer } from './writer.js';

/** The part of node-llama-cpp that is used: it is an optional package, so its own types may not be there. */
interface LlamaPackage {
  getLlama(options: object): Promise<Llama>;
  LlamaChatSession: new (options: object) => LlamaSession;
  LlamaLogLevel: { error: unknown };
}

interface Llama {
  loadModel(options: { modelPath: string; loadSignal?: AbortSignal }): Promise<LlamaModel>;
  dispose(): Promise<void>;
}

interface LlamaModel {
  readonly trainContextSize: number;
  tokenize(text: string): ArrayLike<number>;
  createContext(options: { contextSize: number; sequences: number; threads?: number }): Promise<LlamaContext>;
  dispose(): Promise<void>;
}

interface LlamaContext {
  readonly contextSize: number;
  getSequence(): LlamaSequence;
}

interface LlamaSequence {
  clearHistory(): Promise<void>;
  readonly tokenMeter: {
    getState(): object;
    diff(before: object): { usedInputTokens: number; usedOutputTokens: number };
  };
}

interface LlamaSession {
  promptWithMeta(prompt: string, options: object): Promise<{ responseText: string; stopReason: string }>;
  dispose(options: { disposeSequence: boolean }): void;
}

interface Loaded {
  package: LlamaPackage;
  llama: Llama;
  model: LlamaModel;
  context: LlamaContext;
  /** Those that no request uses at the moment. */
  free: LlamaSequence[];
}

/** Passages are cut to 2,048 characters and there are a few examples: this is enough, and small in memory. */
const CONTEXT = 4096;
/** Tokens that a chat format may put around the prompt. */
const FRAME = 400;
const BODY = ['top_p', 'top_k', 'min_p', 'seed'];

/** A model in a GGUF file, run by node-llama-cpp in this process. */
export class LlamaWriter implements Writer {
  readonly model: string;
  readonly address: string;
  readonly pacer: Pacer;
  readonly #concurrency: number;
  readonly #file: string;
  #loaded: Promise<Loaded> | undefined;

  /** @throws InvalidArgumentError for extra fields that llama.cpp is not told */
  constructor({ model, gguf, concurrency, body }: SettledEndpoint) {
    for (const field of Object.keys(body)) {
      if (!BODY.includes(field))
        throw new InvalidArgumentError('llmBody', `only ${BODY.join(', ')} for a GGUF file`, field);
    }
    this.#file = resolve(gguf!);
    this.model = model;
    this.address = basename(this.#file);
    this.#concurrency = concurrency;
    this.pacer = new Pacer({ concurrency, retries: 0 });
  }

  async complete(body: ChatBody, signal: AbortSignal): Promise<Completion> {
    this.#loaded ??= load(this.#file, this.#concurrency);
    const loaded = await this.#loaded;
    signal.throwIfAborted();
    const sequence = loaded.free.pop()!;
    try {
      return await this.#answer({ ...loaded, sequence }, body, signal);
    } finally {
      loaded.free.push(sequence);
    }
  }

  async #answer(
    loaded: Loaded & { sequence: LlamaSequence },
    body: ChatBody,
    signal: AbortSignal,
  ): Promise<Completion> {
    const { model, context, sequence } = loaded;
    const { temperature, max_tokens: maxTokens, seed, top_p: topP, top_k: topK, min_p: minP } = body;
    const prompt = body.messages[0]!.content;
    const needed = model.tokenize(prompt).length + FRAME + Number(maxTokens ?? 0);
    // llama.cpp would quietly forget the beginning of a prompt that does not fit.
    if (needed > context.contextSize) {
      const problem = `has room for ${context.contextSize} tokens but the prompt may need ${needed}.`;
      throw new RemoteError(this.address, problem, { failure: 'refused', status: 413 });
    }
    await sequence.clearHistory();
    const session = new loaded.package.LlamaChatSession({ contextSequence: sequence, systemPrompt: '' });
    const before = sequence.tokenMeter.getState();
    try {
      const sampling = { temperature, maxTokens, seed, topP, topK, minP };
      const { responseText, stopReason } = await session.promptWithMeta(prompt, { ...sampling, signal });
      const { usedInputTokens, usedOutputTokens } = sequence.tokenMeter.diff(before);
      const tokens = { prompt: usedInputTokens, completion: usedOutputTokens };
      return { text: responseText, finish: stopReason === 'maxTokens' ? 'length' : 'stop', model: this.model, tokens };
    } finally {
      session.dispose({ disposeSequence: false });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const loaded = await this.#loaded?.catch(() => undefined);
    this.#loaded = undefined;
    await loaded?.model.dispose();
    await loaded?.llama.dispose();
  }
}

async function load(file: string, sequences: number): Promise<Loaded> {
  const found = await importLlama();
  const llama = await found.getLlama({ build: 'never', progressLogs: false, logLevel: found.LlamaLogLevel.error });
  try {
    const model = await llama.loadModel({ modelPath: file });
    const contextSize = Math.min(CONTEXT, model.trainContextSize);
    const context = await model.createContext({ contextSize, sequences, ...threads() });
    const free = Array.from({ length: sequences }, () => context.getSequence());
    return { package: found, llama, model, context, free };
  } catch (cause) {
    await llama.dispose();
    const problem = oneLine((cause as Error).message);
    throw new NotFoundError(`Expected a model in GGUF format at ${file} but llama.cpp says: ${problem}`, { cause });
  }
}

/** As everywhere in listwise; llama.cpp waits for its threads by spinning, which is slow where cores are shared. */
function threads(): { threads?: number } {
  const count = Number(process.env.OMP_NUM_THREADS);
  return Number.isInteger(count) && count > 0 ? { threads: count } : {};
}

/** node-llama-cpp from beside listwise or, where listwise is installed elsewhere, from the directory it is started in. */
async function importLlama(): Promise<LlamaPackage> {
  const name = 'node-llama-cpp';
  try {
    return (await import(name)) as LlamaPackage;
  } catch (cause) {
    if ((cause as { code?: string }).code !== 'ERR_MODULE_NOT_FOUND') throw cause;
    try {
      const here = createRequire(join(process.cwd(), 'package.json')).resolve(name);
      return (await import(pathToFileURL(here).href)) as LlamaPackage;
    } catch {
      const remedy = 'install it beside listwise: npm install node-llama-cpp';
      throw new ListwiseError('SETUP', `A GGUF file needs the package node-llama-cpp, which is not there; ${remedy}`, {
        cause,
      });
    }
  }
}
