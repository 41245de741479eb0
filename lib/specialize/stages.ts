/** The stages of a run, in their order. */
export const STAGES = [
  'corpus',
  'embeddings',
  'queries',
  'candidates',
  'teacher',
  'lists',
  'training',
  'evaluation',
  'promotion',
] as const;

export type StageName = (typeof STAGES)[number];

/** What each stage builds on directly. A stage that is done again invalidates those that build on it. */
export const NEEDS: Readonly<Record<StageName, readonly StageName[]>> = {
  corpus: [],
  embeddings: [],
  queries: ['corpus'],
  candidates: ['queries', 'embeddings'],
  teacher: ['candidates'],
  lists: ['teacher'],
  training: ['lists'],
  evaluation: ['training', 'embeddings'],
  promotion: ['evaluation'],
};

/** What a stage builds on directly: what it says itself, as those of a study do, or what is so in every run. */
export function needsOf({ name, needs }: { name: string; needs?: readonly string[] }): readonly string[] {
  return needs ?? NEEDS[name as StageName];
}

/** The stages that one builds on, directly or through others, and itself, in their order. */
export function upTo(stage: StageName): StageName[] {
  const found = new Set<StageName>([stage]);
  for (const earlier of [...STAGES].reverse()) {
    if (found.has(earlier)) for (const need of NEEDS[earlier]) found.add(need);
  }
  return STAGES.filter((name) => found.has(name));
}
