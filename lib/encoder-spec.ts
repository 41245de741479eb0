export type Device = 'cpu' | 'cuda' | `cuda:${number}`;
export type Precision = 'fp32' | 'bf16' | 'int8';
/**
 * How token states become one row. 'weighted-mean' weighs a token by its place, counted from 1; 'mean-sqrt-length'
 * divides their sum by the root of their number.
 */
export type Pooling = 'mean' | 'first-token' | 'max' | 'weighted-mean' | 'last-token' | 'mean-sqrt-length';

/** The names of a weight and, where there is one, its bias. */
export interface NamedPair {
  weight: string;
  bias?: string;
}

/** A linear layer on pooled rows: a module with a file of its own, or a layer of a cross-encoder's head. */
export interface DenseSpec {
  /** Holds `linear.weight` and, if it has one, `linear.bias`. */
  file?: string;
  /** In place of `file`: what the weights are called in the transformer's files. */
  names?: NamedPair;
  /** Layer norm after the activation. */
  norm?: { names: NamedPair; eps: number };
  inputs: number;
  outputs: number;
  bias: boolean;
  activation: 'identity' | 'tanh' | 'relu' | 'gelu' | 'sigmoid';
}

/** One way in which the tokens of a text see each other. */
export interface AttentionKind {
  /** Keys further away from a query than this are not seen; 0: all are. */
  window: number;
  /** Rotary positions: radians per position for each of a head's headSize / 2 pairs; empty: positions are not rotary. */
  frequencies: number[];
}

/** A transformer as data: what the packed block in csrc reads. A family (BERT, ...) is a function to this. */
export interface Architecture {
  vocabularySize: number;
  hiddenSize: number;
  layers: number;
  heads: number;
  /** Numbers of a query or key in one head. */
  headSize: number;
  intermediateSize: number;
  /** Longest text in tokens. */
  maxPositions: number;
  /** Rows of the table of learned positions; 0: there is none. */
  positionRows: number;
  /** Where given, a text's first position is the row after this one, and tokens of this id do not count. */
  paddingId?: number;
  /** Rows of the token type table, of which row 0 is added to every token; 0: there is none. */
  tokenTypes: number;
  /** Layer norm, or RMS norm, which does not subtract the mean. */
  norm: 'layer' | 'rms';
  /** 'after': x = norm(x + f(x)). 'before': x = x + f(norm(x)), and a last norm at the end. */
  normPlace: 'after' | 'before';
  normEps: number;
  /** 'gelu' is the exact one (erf), 'gelu-tanh' the tanh approximation. */
  activation: 'gelu' | 'gelu-tanh' | 'relu' | 'silu';
  /** Gated: of twice intermediateSize numbers one half, the first or the second, is activated and multiplied by the other. */
  feedForward: 'plain' | 'gated-by-first' | 'gated-by-second';
  /** Query times key is multiplied by this. */
  scoreScale: number;
  /** A learned bias of the scores by the distance of query and key, in buckets, shared by all layers. */
  relative?: { buckets: number; maxDistance: number };
  attention: AttentionKind[];
  /** For each layer its place in `attention`. */
  attentionOfLayer: number[];
}

/**
 * Where each parameter lies in the weights file. `{layer}` stands for the layer's number. The keys are the parameters
 * of csrc/core/nn/parameters.cc; a bias or an embedding norm that is not named does not exist.
 */
export type WeightNames = Record<string, string>;

/** The first step of T5's decoder in place of pooling; its sizes are the encoder's. */
export interface DecoderSpec {
  layers: number;
  /** The token that decoding starts with. */
  startId: number;
  /** Tokens whose logits come out, in this order. */
  outputIds: number[];
  /** The last states are multiplied by this before the output layer. */
  outputScale: number;
}

export interface EncoderSpec {
  /** The safetensors files that hold the weights. */
  files: string[];
  architecture: Architecture;
  weightNames: WeightNames;
  /** Further names under which `files` hold one of these weights; they are left out of what is saved. */
  copies?: string[];
  /** Layers after pooling, in their order; default none. Weights of theirs that `files` hold, joined, go first. */
  dense?: DenseSpec[];
  /** Scores texts instead of embedding them. Cannot be trained. */
  decoder?: DecoderSpec;
  device: Device;
  /**
   * Numbers inside the encoder; master weights, pooling and embeddings are fp32 always. 'bf16' is meant for CUDA;
   * 'int8', on the CPU, multiplies whole numbers in the linear layers and cannot be trained.
   */
  precision: Precision;
  /**
   * 'portable' uses plain library operations everywhere: the reference that tests and benches compare with. 'device'
   * computes on the CPU what a GPU would, for tests.
   */
  kernels?: 'fused' | 'portable' | 'device';
}
