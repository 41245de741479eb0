import type { Pacer } from '../http/pacer.js';
import type { TokenUse } from './journal.js';
import type { ReplyText } from './reply-check.js';
import type { ChatBody } from './request.js';

/** What a model answered. */
export interface Completion extends ReplyText {
  /** The model that says it answered. */
  model: string;
  /** What the server counted; absent where it does not count. */
  tokens?: TokenUse;
}

/** A language model that can be asked: a server, or a file on this machine. */
export interface Writer extends AsyncDisposable {
  /** The name it is asked by. */
  readonly model: string;
  /** For messages: where it is, without secrets. */
  readonly address: string;
  /** How fast it is asked, and how often again. */
  readonly pacer: Pacer;
  /**
   * Asks once.
   * @throws RemoteError for faults of the server, telling whether they may pass; `signal.reason` when aborted
   */
  complete(body: ChatBody, signal: AbortSignal): Promise<Completion>;
}
