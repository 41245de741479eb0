/**
 * The errors that listwise raises. Every message says what was expected, what came, where, and what to do.
 * `code` is stable and meant for programs; the message is meant for people and may be reworded.
 */
export type ErrorCode =
  | 'INVALID_ARGUMENT'
  | 'BAD_DATA'
  | 'BAD_MODEL'
  | 'NOT_FOUND'
  | 'NOT_WRITABLE'
  | 'UNSUPPORTED'
  | 'BUSY'
  | 'NOT_CONFIRMED'
  | 'DISPOSED'
  | 'ABORTED'
  | 'NOT_FINITE'
  | 'OUT_OF_MEMORY'
  | 'REMOTE'
  | 'BUDGET'
  | 'SETUP'
  | 'INTERNAL';

export class ListwiseError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** A wrong option or argument: names it, what was expected, and what came. */
export class InvalidArgumentError extends ListwiseError {
  constructor(
    readonly argument: string,
    expected: string,
    received: unknown,
    remedy?: string,
  ) {
    super(
      'INVALID_ARGUMENT',
      `Expected ${expected} for ${argument} but received ${describe(received)}${remedy ? `; ${remedy}` : ''}.`,
    );
  }
}

export interface DataLocation {
  file: string;
  /** 1-based. */
  line?: number;
  field?: string;
}

/** Something wrong inside a file the user gave: names the file, the line and the field where they are known. */
export class DataError extends ListwiseError {
  readonly file: string;
  readonly line: number | undefined;
  readonly field: string | undefined;

  constructor(where: DataLocation, problem: string, options?: ErrorOptions) {
    const line = where.line === undefined ? '' : `:${where.line}`;
    const field = where.field === undefined ? '' : ` (field "${where.field}")`;
    super('BAD_DATA', `${where.file}${line}${field}: ${problem}`, options);
    this.file = where.file;
    this.line = where.line;
    this.field = where.field;
  }
}

/** A file, directory or model that is not there. */
export class NotFoundError extends ListwiseError {
  constructor(message: string, options?: ErrorOptions) {
    super('NOT_FOUND', message, options);
  }
}

/** A file or directory that cannot be written: names it and why. */
export class WriteError extends ListwiseError {
  constructor(
    readonly path: string,
    problem: string,
    options?: ErrorOptions,
  ) {
    super('NOT_WRITABLE', `Cannot write ${path}: ${problem}.`, options);
  }
}

/** A model directory that cannot be used: names the file and what is wrong with it. */
export class ModelError extends ListwiseError {
  constructor(message: string, options?: ErrorOptions) {
    super('BAD_MODEL', message, options);
  }
}

/**
 * What went wrong with a server over the network. 'overloaded' (429, 503, a time-out), 'failed' (another 5xx, a reply cut
 * off or not as expected) and 'unreachable' may pass; 'refused' (the request, the key, the address) will not.
 */
export type RemoteFailure = 'overloaded' | 'failed' | 'unreachable' | 'refused';

export interface RemoteDetails extends ErrorOptions {
  failure: RemoteFailure;
  /** The status of HTTP, where there was a reply. */
  status?: number;
  /** Milliseconds that the server asked to wait. */
  retryAfter?: number;
}

/** A server over the network that gave no usable reply: names its address and what came. */
export class RemoteError extends ListwiseError {
  readonly failure: RemoteFailure;
  readonly status: number | undefined;
  readonly retryAfter: number | undefined;

  constructor(
    readonly address: string,
    problem: string,
    { failure, status, retryAfter, ...options }: RemoteDetails,
  ) {
    super('REMOTE', `${address} ${problem}`, options);
    this.failure = failure;
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** A budget that is used up: names the option, and what is done already. */
export class BudgetError extends ListwiseError {
  constructor(message: string, options?: ErrorOptions) {
    super('BUDGET', message, options);
  }
}

/** Raised inside the native addon; `code` is the addon's. */
export class NativeError extends ListwiseError {}

/** A value as a short piece of text for an error message. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return value.length > 80 ? `"${value.slice(0, 77)}..."` : `"${value}"`;
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value);
  if (value === undefined || value === null) return String(value);
  if (ArrayBuffer.isView(value)) {
    return `${value.constructor.name}(${'length' in value ? value.length : value.byteLength})`;
  }
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === 'function') return 'a function';
  const name = value.constructor?.name;
  return name && name !== 'Object' ? `a ${name}` : 'an object';
}
