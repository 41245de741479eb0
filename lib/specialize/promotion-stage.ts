import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeLines } from '../formats/atomic.js';
import { writing } from '../formats/writing.js';
import { isDirectory } from '../models/hub.js';
import { copyModel } from '../models/saved-model.js';
import { writeCard } from '../report/card.js';
import { readRunFacts } from '../report/facts.js';
import { teacherName } from '../report/teacher-name.js';
import { type EvaluatedOn, type EvaluationResult, writeJson } from './evaluation-stage.js';
import { type GuardResult, objections } from './gate.js';
import { Guards } from './guards.js';
import { type Offer, offerMixture } from './mixture.js';
import { FILES } from './run-directory.js';
import type { Stage } from './stage-runner.js';
import { judge, signed, type Verdict } from './verdict.js';
import { hashesOf, type Workbench } from './workbench.js';

/** What promotion/promotion.json holds: which model the run recommends, and why. */
export interface Promotion {
  /** Whether model/ holds the trained model; if not, it holds the base. */
  promoted: boolean;
  on: EvaluatedOn;
  verdict: Verdict;
  guards: GuardResult[];
  /** Guard sets that the trained model was not tried on, as it had failed before; there if there are any. */
  skippedGuards?: string[];
  /** Why the trained model was not promoted; empty if it was. */
  objections: string[];
  /** There if the trained model was not promoted and mixtures were tried. */
  offer?: Offer;
  /** All of it in sentences. */
  text: string;
}

/** The gate: model/ becomes the trained model if it passes, else the base; promotion/promotion.json says why. */
export async function promotionStage(bench: Workbench): Promise<Stage> {
  const { options, directory } = bench;
  const { significance, significanceTest, guards: sets, guardLoss, mixingShares, measures } = options;
  const guards = new Guards(bench);
  const test = { significance, significanceTest };
  return {
    name: 'promotion',
    options: { ...test, guards: sets, guardLoss, mixingShares, measures: measures?.[0] },
    inputs: await hashesOf(guards.sources),
    sources: guards.sources,
    outputs: async () => [...(await directory.filesIn(FILES.chosenModel)), ...(await directory.filesIn('promotion'))],
    work: async () => {
      await writing(directory.promotion(), () => rm(directory.promotion(), { recursive: true, force: true }));
      const text = await readFile(directory.file('comparison'), 'utf8');
      const { on, comparison } = JSON.parse(text) as EvaluationResult;
      const verdict = judge(comparison, { on, significance, test: significanceTest });
      // On guard sets whole corpora are encoded: not for a model that is out already.
      const isTried = verdict.outcome === 'better';
      const guarded = isTried ? await guards.compare('trained', directory.file('model')) : [];
      const reasons = objections(verdict, guarded);
      const promoted = reasons.length === 0;
      const offer = promoted ? undefined : await offerMixture(bench, guards, on);
      await writeChosen(bench, promoted);
      const skipped = isTried || sets.length === 0 ? {} : { skippedGuards: [...sets] };
      const facts = {
        ...{ promoted, on, verdict, guards: guarded, ...skipped },
        ...{ objections: reasons, ...(offer && { offer }) },
      };
      const promotion: Promotion = { ...facts, text: describePromotion(facts) };
      await writeJson(directory.file('promotion'), promotion);
      await writeModelCard(bench, promotion);
      const { outcome, measure, difference, p } = verdict;
      return {
        promoted,
        outcome,
        measure,
        difference,
        p,
        ...(offer && { offer: offer.share, offerPasses: offer.passes }),
      };
    },
  };
}

async function writeChosen(bench: Workbench, promoted: boolean): Promise<void> {
  const { directory, options } = bench;
  const target = directory.file('chosenModel');
  if (promoted) return copyModel(directory.file('model'), target);
  const embedder = await bench.embedder();
  try {
    await embedder.save(target, options.signal ? { signal: options.signal } : {});
  } finally {
    await bench.releaseEmbedder();
  }
}

/** The card from the run's own facts, which do not know of this stage yet. */
async function writeModelCard({ directory, options }: Workbench, promotion: Promotion): Promise<void> {
  const model = directory.file('chosenModel');
  const facts = { ...(await readRunFacts(directory.path, options.signal)), model: options.model, promotion };
  const isHubBase = !(await isDirectory(options.model));
  const card = await writeCard(facts, { directory: model, isHubBase, teacher: await teacherName(options.teacher) });
  await writeLines(join(model, 'README.md'), [card.trimEnd()], { signal: options.signal });
}

function describePromotion(promotion: Omit<Promotion, 'text'>): string {
  const { promoted, verdict, guards, skippedGuards, objections: reasons, offer } = promotion;
  const lines = [verdict.text];
  for (const { name, difference, measure, interval, allowedLoss, holds } of guards) {
    const range = `95 % interval ${signed(interval.low)} to ${signed(interval.high)}`;
    const meaning = holds ? 'within' : 'more than';
    lines.push(
      `Guard ${name}: ${measure} ${signed(difference)} (${range}), ${meaning} the allowed loss of ${allowedLoss}.`,
    );
  }
  if (skippedGuards) lines.push(describeSkipped(skippedGuards));
  if (promoted) return [...lines, 'Promoted: model/ is the trained model.'].join('\n');
  lines.push(`Not promoted, because ${reasons.join(', and ')}: model/ is the base model, unchanged.`);
  if (offer) lines.push(describeOffer(offer));
  return lines.join('\n');
}

export function describeSkipped(guards: readonly string[]): string {
  const sets = guards.length === 1 ? `the guard set ${guards[0]}` : `the guard sets ${guards.join(', ')}`;
  return `The trained model was not tried on ${sets}, as it is out already: whether it lost there is not known.`;
}

function describeOffer({ share, directory, chosenOn, verdict, guards, passes }: Offer): string {
  const mixture = `${percent(1 - share)} base and ${percent(share)} trained weights`;
  const where = chosenOn === 'half' ? 'a half of the queries that is left out here' : 'the dev lists';
  const broken = guards.find(({ holds }) => !holds);
  if (!directory && broken) {
    return `No mixture of weights holds on the guard sets either: ${mixture} loses ${signed(broken.difference)} on ${broken.name}.`;
  }
  const advice = passes
    ? 'It passes the gate; to use it, take that directory.'
    : 'It does not pass the gate either, so the base remains the safe choice.';
  return `The best mixture, ${mixture} (chosen on ${where}), is in ${directory}. ${verdict.text} ${advice}`;
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(1))} %`;
}
