import { Random } from '../lib/random.js';
import type { TrainingList } from '../lib/types.js';
import { randomTexts } from './helpers.js';

/** A corpus of 60 passages, and 40 lists to train on and 10 for dev whose teacher counts letters in common. */
export function trainingTask(): { corpus: Map<string, string>; train: TrainingList[]; dev: TrainingList[] } {
  const texts = [...new Set(randomTexts(100, { longest: 5, seed: 5 }))].slice(0, 60);
  const random = Random.for(5, 'task');
  const lists = randomTexts(50, { longest: 3, seed: 6 }).map((query, i): TrainingList => {
    const rows = random.shuffle(Array.from(texts.keys())).slice(0, 6);
    // A passage is the better, the more letters it shares with the query.
    const share = (text: string) =>
      [...new Set(query)].filter((letter) => text.includes(letter)).length / new Set(query).size;
    const passages = rows
      .map((row) => ({ id: `p${row}`, score: share(texts[row]!) }))
      .sort((a, b) => b.score - a.score);
    return { id: `q${i}`, query, passages };
  });
  return { corpus: new Map(texts.map((text, i) => [`p${i}`, text])), train: lists.slice(0, 40), dev: lists.slice(40) };
}
