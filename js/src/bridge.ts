/**
 * The way from the facades to one engine: every call goes through here.
 *
 * It refuses calls after `close`, maps what the boundary throws, and knows the one failure that no answer reports: a
 * trap. A trap inside a call rejects that call; a trap in a task between calls reaches only the realm's `error` event,
 * and every promise of that instance would wait for ever. So calls that wait are kept, and all are rejected then.
 */
import type { AtOnce, Direction, Engine, Later } from './boundary.js';
import { deadInstance, FieldSyncError, isTrap, toFieldSyncError } from './errors.js';

/** How the frames of our module read in a stack trace, under its own name or a bundler's. */
const OWN_FRAME = /fieldsync(?:_bg)?[^\s/]*\.wasm/;

export class Bridge {
  readonly #engine: Engine;
  readonly #waiting = new Set<(error: FieldSyncError) => void>();
  /** Why no call is possible any more. */
  #ended: FieldSyncError | undefined;

  constructor(engine: Engine) {
    this.#engine = engine;
    if (typeof addEventListener === 'function') addEventListener('error', this.#onUncaught);
  }

  /** Asks for what is answered later. */
  async call<T, M extends keyof Later = keyof Later>(method: M, ...args: Later[M]): Promise<T> {
    return JSON.parse(await this.text(method, ...args));
  }

  /** The answer as it comes. */
  text<M extends keyof Later>(method: M, ...args: Later[M]): Promise<string> {
    return this.#later((engine) => engine.call(method, ...args));
  }

  /** Runs a session. */
  async sync<T>(direction: Direction, entity?: string, operations?: string, signal?: AbortSignal): Promise<T> {
    return JSON.parse(await this.#later((engine) => engine.sync(direction, entity, operations, signal)));
  }

  #later(run: (engine: Engine) => Promise<string>): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#ended) {
        reject(this.#ended);
        return;
      }
      this.#waiting.add(reject);
      const settled = (): void => void this.#waiting.delete(reject);
      let answer: Promise<string>;
      try {
        answer = run(this.#engine);
      } catch (cause) {
        settled();
        reject(this.#read(cause));
        return;
      }
      answer.then(
        (value) => {
          settled();
          resolve(value);
        },
        (cause: unknown) => {
          settled();
          reject(this.#read(cause));
        },
      );
    });
  }

  /** Asks for what is answered at once. */
  now<T, M extends keyof AtOnce = keyof AtOnce>(method: M, ...args: AtOnce[M]): T {
    if (this.#ended) throw this.#ended;
    try {
      return JSON.parse(this.#engine.now(method, ...args));
    } catch (cause) {
      throw this.#read(cause);
    }
  }

  /** Ends the engine. What still waits learns that it is closed. */
  async close(): Promise<void> {
    if (this.#ended) return;
    const closing = this.text('close');
    this.#ended = new FieldSyncError('closed', 'This client was closed.');
    try {
      await closing;
    } finally {
      this.#end(this.#ended);
    }
  }

  readonly #onUncaught = (event: ErrorEvent): void => {
    const cause: unknown = event.error;
    if (isTrap(cause) && OWN_FRAME.test((cause as Error).stack ?? '')) this.#end(deadInstance(cause));
  };

  #read(cause: unknown): FieldSyncError {
    const error = toFieldSyncError(cause);
    if (error.code === 'instance_dead') this.#end(error);
    return error;
  }

  #end(error: FieldSyncError): void {
    this.#ended = error;
    if (typeof removeEventListener === 'function') removeEventListener('error', this.#onUncaught);
    for (const reject of this.#waiting) reject(error);
    this.#waiting.clear();
  }
}
