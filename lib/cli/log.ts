import { type ProgressStream, progressDisplay } from '../progress.js';
import type { Progress } from '../types.js';

/** How much a command tells while it works. */
export type Loudness = 'quiet' | 'normal' | 'verbose';

/** What a command tells while it works, on stderr. Results are not told here but given back, for stdout. */
export interface Log {
  /** A line for people; `facts` are the same for programs. */
  say(line: string, facts?: object): void;
  /** The same, for those who asked for every detail. */
  detail(line: string, facts?: object): void;
  progress(progress: Progress): void;
  /** A failure: never left out. */
  fail(line: string, facts: object): void;
  /** Makes room for what others write. */
  end(): void;
}

const SECONDS_BETWEEN_REPORTS = 1;

/** Lines of text with a bar on a terminal. */
export class TextLog implements Log {
  readonly #display;

  constructor(
    readonly stream: ProgressStream,
    readonly loudness: Loudness = 'normal',
  ) {
    this.#display = progressDisplay(stream);
  }

  say(line: string): void {
    if (this.loudness !== 'quiet') this.#write(line);
  }

  detail(line: string): void {
    if (this.loudness === 'verbose') this.#write(line);
  }

  progress(progress: Progress): void {
    if (this.loudness !== 'quiet') this.#display.show(progress);
  }

  fail(line: string): void {
    this.#write(line);
  }

  end(): void {
    this.#display.end();
  }

  #write(line: string): void {
    this.#display.end();
    this.stream.write(`${line}\n`);
  }
}

/** One JSON object a line: "time", "level" ('info', 'detail', 'progress', 'error'), "message", and the facts. */
export class JsonLog implements Log {
  #last: { at: number; progress: Progress } | undefined;

  constructor(
    readonly stream: ProgressStream,
    readonly loudness: Loudness = 'normal',
    readonly now: () => number = Date.now,
  ) {}

  say(line: string, facts?: object): void {
    if (this.loudness !== 'quiet') this.#write('info', { message: line, ...facts });
  }

  detail(line: string, facts?: object): void {
    if (this.loudness === 'verbose') this.#write('detail', { message: line, ...facts });
  }

  /** Every second, and the first and last of each stage. */
  progress(progress: Progress): void {
    if (this.loudness === 'quiet') return;
    const isNew = this.#last?.progress.stage !== progress.stage || this.#last.progress.unit !== progress.unit;
    const isLast = progress.total > 0 && progress.done >= progress.total;
    const isDue = !this.#last || this.now() - this.#last.at >= SECONDS_BETWEEN_REPORTS * 1000;
    if (!isNew && !isLast && !isDue) return;
    this.#last = { at: this.now(), progress: { ...progress } };
    this.#write('progress', progress);
  }

  fail(line: string, facts: object): void {
    this.#write('error', { message: line, ...facts });
  }

  end(): void {}

  #write(level: string, facts: object): void {
    this.stream.write(`${JSON.stringify({ time: new Date(this.now()).toISOString(), level, ...facts })}\n`);
  }
}
