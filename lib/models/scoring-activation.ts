import { describe, ListwiseError } from '../errors.js';
import type { SentenceConfig } from './sentence-config.js';

/** What is applied to a cross-encoder's logit. */
export type ScoringActivation = 'identity' | 'sigmoid' | 'tanh' | 'relu';

export const SCORING_ACTIVATIONS: Readonly<Record<ScoringActivation, (logit: number) => number>> = {
  identity: (logit) => logit,
  sigmoid: (logit) => 1 / (1 + Math.exp(-logit)),
  tanh: Math.tanh,
  relu: (logit) => Math.max(0, logit),
};

/** PyTorch's classes, by the last part of their paths. */
const CLASSES: Readonly<Record<string, ScoringActivation>> = {
  Identity: 'identity',
  Sigmoid: 'sigmoid',
  Tanh: 'tanh',
  ReLU: 'relu',
};

/**
 * The activation that sentence-transformers' CrossEncoder applies: config_sentence_transformers.json's `activation_fn`,
 * else that of `sentence_transformers` in config.json, else config.json's older `sbert_ce_default_activation_function`,
 * else the sigmoid, as for every model of one label.
 * @param sentence config_sentence_transformers.json
 * @param config config.json
 * @param configFile its path, for messages
 * @throws ListwiseError UNSUPPORTED for an activation that is not computed
 */
export function readScoringActivation(
  sentence: SentenceConfig,
  config: Record<string, unknown>,
  configFile: string,
): ScoringActivation {
  const section = (config['sentence_transformers'] ?? {}) as Record<string, unknown>;
  const named: [value: unknown, place: string][] = [
    [sentence.activation, `${sentence.file}: activation_fn`],
    [section['activation_fn'], `${configFile}: sentence_transformers.activation_fn`],
    [config['sbert_ce_default_activation_function'], `${configFile}: sbert_ce_default_activation_function`],
  ];
  const [value, place] = named.find(([one]) => one !== undefined && one !== null) ?? [];
  if (value === undefined) return 'sigmoid';
  const [, name = ''] = /^torch\.nn\.(?:modules\.\w+\.)?(\w+)$/.exec(String(value)) ?? [];
  if (Object.hasOwn(CLASSES, name)) return CLASSES[name]!;
  throw new ListwiseError(
    'UNSUPPORTED',
    `${place} ${describe(value)} is not supported; supported: torch.nn.${Object.keys(CLASSES).join(', torch.nn.')}. ` +
      "Set the option activation ('identity' gives the logits) to go without it.",
  );
}
