import { SingleBar } from 'cli-progress';
import type { Progress } from './types.js';

export interface ProgressStream {
  write(text: string): unknown;
  isTTY?: boolean | undefined;
  columns?: number | undefined;
}

/** Shows how far long work is. */
export interface ProgressDisplay {
  show(progress: Progress): void;
  /** To be called when the work is over, and before anything else is written to the terminal. */
  end(): void;
}

/**
 * Shows what `onProgress` reports, with rate and time left: a bar on a terminal, else a plain line every few seconds.
 * @example
 * const display = progressDisplay(process.stderr);
 * await embedder.encode(texts, { onProgress: (progress) => display.show(progress) });
 * display.end();
 */
export function progressDisplay(stream: ProgressStream, now: () => number = Date.now): ProgressDisplay {
  return stream.isTTY ? new Bar(stream, now) : new Lines(stream, now);
}

/** Rate and time left, from what was done since it was first heard of. */
class Pace {
  #last: Progress | undefined;
  #started = 0;
  #first = 0;

  constructor(readonly now: () => number) {}

  /** @returns whether something new is counted: another stage, or the same over other things */
  follow(progress: Progress): boolean {
    const last = this.#last;
    this.#last = { ...progress };
    const { stage, total, unit, done } = progress;
    if (last && stage === last.stage && total === last.total && unit === last.unit && done >= last.done) return false;
    this.#started = this.now();
    this.#first = done;
    return true;
  }

  /** How many a second, once that can be said. */
  rate({ done }: Progress): { rate?: number } {
    const seconds = (this.now() - this.#started) / 1000;
    const rate = (done - this.#first) / seconds;
    return seconds >= 0.5 && rate > 0 ? { rate } : {};
  }
}

/** Progress with how many a second, where that is known. */
type Paced = Progress & { rate?: number };

/** 'encoding: 500 of 1,200 passages (41 %); 100/s, 7 s left' */
export function progressLine(progress: Paced): string {
  const { stage, done, total, unit } = progress;
  const of = total > 0 ? ` of ${amount(total, unit)} ${unitName(unit)}` : ` ${unitName(unit)}`;
  const percent = total > 0 ? ` (${Math.floor((100 * done) / total)} %)` : '';
  const tail = tailOf(progress);
  return `${stage}: ${amount(done, unit)}${of}${percent}${tail ? `; ${tail}` : ''}`;
}

/** Rate, time left, what was spent, and the note. */
function tailOf({ done, total, unit, rate, note, ...rest }: Paced): string {
  const left = rate && total > done ? `, ${duration((total - done) / rate)} left` : '';
  const pace = rate ? `${paceOf(rate, unit)}${left}` : '';
  return [pace, spent(rest), note].filter(Boolean).join('; ');
}

const SECONDS_BETWEEN_LINES = 5;

class Lines implements ProgressDisplay {
  readonly #pace: Pace;
  #last = Number.NEGATIVE_INFINITY;
  readonly #seen = new Set<string>();

  constructor(
    readonly stream: ProgressStream,
    readonly now: () => number,
  ) {
    this.#pace = new Pace(now);
  }

  show(progress: Progress): void {
    this.#pace.follow(progress);
    const counted = `${progress.stage} ${progress.unit}`;
    const isNew = !this.#seen.has(counted);
    if (!isNew && this.now() - this.#last < SECONDS_BETWEEN_LINES * 1000) return;
    this.#seen.add(counted);
    this.#last = this.now();
    this.stream.write(`${progressLine({ ...progress, ...this.#pace.rate(progress) })}\n`);
  }

  end(): void {}
}

class Bar implements ProgressDisplay {
  readonly #pace: Pace;
  #bar: SingleBar | undefined;

  constructor(
    readonly stream: ProgressStream,
    readonly now: () => number,
  ) {
    this.#pace = new Pace(now);
  }

  show(progress: Progress): void {
    const { stage, done, total, unit } = progress;
    if (this.#pace.follow(progress)) {
      this.end();
      this.#bar = this.#newBar();
      this.#bar.start(Math.max(total, done), done, { stage, count: '', pace: '', isCounted: total > 0 });
    }
    const count = total > 0 ? `${amount(done, unit)}/${amount(total, unit)}` : amount(done, unit);
    const pace = tailOf({ ...progress, ...this.#pace.rate(progress) });
    this.#bar?.setTotal(Math.max(total, done));
    this.#bar?.update(done, { stage, count: `${count} ${unitName(unit)}`, pace, isCounted: total > 0 });
  }

  end(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }

  #newBar(): SingleBar {
    return new SingleBar({
      stream: this.stream as NodeJS.WritableStream,
      format: (_options, { progress }, payload) => this.#line(progress, payload),
      // Nothing of the terminal is changed that somebody would have to restore, however the process ends.
      hideCursor: false,
      linewrap: true,
      fps: 8,
      // The library's own handler of Ctrl-C would end the process.
      gracefulExit: false,
    });
  }

  /** Cut to the terminal's width, since a line that wraps cannot be drawn over. */
  #line(progress: number, { stage, count, pace, isCounted }: Payload): string {
    const filled = Math.round(progress * 24);
    const percent = `${Math.floor(progress * 100)} %`.padStart(5);
    const bar = isCounted ? ` ${'█'.repeat(filled)}${'░'.repeat(24 - filled)} ${percent} ` : ':';
    return `${stage}${bar} ${count}  ${pace}`.slice(0, (this.stream.columns ?? 80) - 1);
  }
}

/** What the bar's line says beside the share that is done. */
interface Payload {
  stage: string;
  count: string;
  pace: string;
  /** Whether it is known how much there is to do. */
  isCounted: boolean;
}

/** Items a second, or, where one takes a second or more, seconds an item. */
function paceOf(rate: number, unit: string): string {
  return rate < 1 ? `${duration(1 / rate)} each` : `${amount(rate, unit)}/s`;
}

/** A number as people write it: bytes in megabytes, others with thousands apart. */
function amount(value: number, unit: string): string {
  if (unit === 'bytes') return (value / 1e6).toFixed(value < 1e7 ? 1 : 0);
  if (value < 10 && !Number.isInteger(value)) return value.toFixed(1);
  return Math.round(value).toLocaleString('en');
}

/** '12,000 tokens, cost 0.35', as far as it is known. */
function spent({ tokens, cost }: Pick<Progress, 'tokens' | 'cost'>): string {
  const parts = [
    tokens === undefined ? '' : `${amount(tokens, '')} tokens`,
    cost === undefined ? '' : `cost ${cost.toFixed(2)}`,
  ];
  return parts.filter(Boolean).join(', ');
}

function unitName(unit: string): string {
  return unit === 'bytes' ? 'MB' : unit;
}

/** '45 s', '3 min 20 s', '2 h 5 min'. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
