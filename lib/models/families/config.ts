import { describe, ListwiseError, ModelError } from '../../errors.js';
import type { Architecture } from '../../native.js';

/** config.json's names of activations → the block's. `gelu_fast` and `gelu_new` are the same function. */
const ACTIVATIONS: Readonly<Record<string, Architecture['activation']>> = {
  gelu: 'gelu',
  gelu_python: 'gelu',
  gelu_new: 'gelu-tanh',
  gelu_fast: 'gelu-tanh',
  gelu_pytorch_tanh: 'gelu-tanh',
  relu: 'relu',
  silu: 'silu',
  swish: 'silu',
};

/** A model's config.json, read field by field. Errors name the file, the field, what was expected and what was found. */
export class Config {
  readonly #fields: Readonly<Record<string, unknown>>;
  /** Path, for messages. */
  readonly file: string;

  constructor(fields: Readonly<Record<string, unknown>>, file: string) {
    this.#fields = fields;
    this.file = file;
  }

  /** The value as it is; null counts as absent. */
  get(field: string): unknown {
    return this.#fields[field] ?? undefined;
  }

  /** Whether the field is there and null. */
  isNull(field: string): boolean {
    return this.#fields[field] === null;
  }

  /** A whole number of at least `least`. @throws ModelError if it is anything else, or absent without a default */
  wholeNumber(field: string, { least = 1, absent }: { least?: number; absent?: number } = {}): number {
    const value = this.get(field) ?? absent;
    if (typeof value === 'number' && Number.isInteger(value) && value >= least) return value;
    const expected = least === 1 ? 'a whole number above 0' : `a whole number of at least ${least}`;
    throw new ModelError(`${this.file}: expected ${expected} for ${field} but found ${describe(this.#fields[field])}.`);
  }

  /** A number above 0. @throws ModelError if it is anything else, or absent without a default */
  positive(field: string, absent?: number): number {
    const value = this.get(field) ?? absent;
    if (typeof value === 'number' && value > 0 && Number.isFinite(value)) return value;
    throw new ModelError(`${this.file}: expected a number above 0 for ${field} but found ${describe(value)}.`);
  }

  /** True or false. @throws ModelError if it is anything else */
  flag(field: string, absent: boolean): boolean {
    const value = this.get(field) ?? absent;
    if (typeof value === 'boolean') return value;
    throw new ModelError(`${this.file}: expected true or false for ${field} but found ${describe(value)}.`);
  }

  /** An object, as a config of its own. @throws ModelError if it is anything else */
  object(field: string): Config | undefined {
    const value = this.get(field);
    if (value === undefined) return undefined;
    if (typeof value === 'object' && !Array.isArray(value)) {
      return new Config(value as Record<string, unknown>, `${this.file}: ${field}`);
    }
    throw new ModelError(`${this.file}: expected an object for ${field} but found ${describe(value)}.`);
  }

  /** @throws ListwiseError UNSUPPORTED for a function that the block does not compute */
  activation(field: string, name = this.get(field)): Architecture['activation'] {
    const known = typeof name === 'string' && Object.hasOwn(ACTIVATIONS, name) ? ACTIVATIONS[name] : undefined;
    if (!known) throw this.unsupported(field, Object.keys(ACTIVATIONS));
    return known;
  }

  /** Refuses fields that are there with a value which the block does not honour. @throws ListwiseError UNSUPPORTED */
  require(honoured: Readonly<Record<string, readonly unknown[]>>): void {
    for (const [field, values] of Object.entries(honoured)) {
      const same = (value: unknown) => JSON.stringify(value) === JSON.stringify(this.#fields[field]);
      if (field in this.#fields && !values.some(same)) throw this.unsupported(field, values);
    }
  }

  unsupported(field: string, honoured: readonly unknown[]): ListwiseError {
    const value = this.#fields[field];
    const what = honoured.filter((one) => one !== null).map((one) => JSON.stringify(one));
    const expected = what.length > 0 ? `; supported: ${what.join(', ')}` : '';
    const shown = typeof value === 'object' ? JSON.stringify(value) : describe(value);
    return new ListwiseError('UNSUPPORTED', `${this.file}: ${field} ${shown} is not supported${expected}.`);
  }
}
