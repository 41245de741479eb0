/**
 * Set-up that cannot go on. The message says what was looked for, what was found instead, and what to do.
 * It has the same `code` as the ListwiseError that lib/native.ts raises for it; that class is TypeScript and does not
 * exist before the first compilation, so this one stands on its own.
 */
export class SetupError extends Error {
  /** @readonly */
  code = 'SETUP';

  /**
   * @param {string} problem one sentence
   * @param {{ found?: string[], fixes?: string[], cause?: unknown }} [details] what was tried, and what to do
   */
  constructor(problem, { found = [], fixes = [], cause } = {}) {
    super([problem, ...section('Looked for:', found), ...section('What to do:', fixes)].join('\n'), { cause });
    this.name = 'SetupError';
    /** @readonly */
    this.fixes = fixes;
  }
}

/** @param {string} title @param {string[]} lines */
function section(title, lines) {
  return lines.length ? [title, ...lines.map((line) => `  - ${line}`)] : [];
}
