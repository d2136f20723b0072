/**
 * The way from the facades to one engine: every call goes through here.
 *
 * It refuses calls after `close`, maps what the boundary throws, and outlives the engine. When the wasm instance dies,
 * every call that waits is rejected, because nobody will answer it; then the engine is started again, on another instance
 * and from what is stored, and later calls go there. An engine that dies again and again is started more and more seldom
 * by itself, so that a page is not kept busy with it; a call starts it at once.
 */
import type { AtOnce, Direction, Engine, Later } from './boundary.js';
import { FieldSyncError, isTrap, toFieldSyncError } from './errors.js';
import type { Instance } from './instance.js';

/** Who lived so long did not die of what it began with. */
const CALM_MS = 60_000;
const WAIT_MS_MAX = 60_000;

/** What the bridge is told: how to start an engine, and whom to tell when calls reach it; `again`: another one died. */
export interface Starter {
  /** The living instance of the module. */
  instance(): Instance;
  start(instance: Instance): Promise<Engine>;
  started(again: boolean): void;
  /** Another one died, and this one could not be started. */
  failed(error: FieldSyncError): void;
  /** A call has ended; `error`: it was refused. */
  called?(method: string, ms: number, error?: FieldSyncError): void;
}

interface Living {
  engine: Engine;
  instance: Instance;
  since: number;
}

export class Bridge {
  readonly #starter: Starter;
  readonly #waiting = new Set<(error: FieldSyncError) => void>();
  #living: Living | undefined;
  #starting: Promise<Living> | undefined;
  /** Deaths and failed starts, one soon after another. */
  #deaths = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #forget: () => void = () => undefined;
  /** Why no call is possible any more. */
  #ended: FieldSyncError | undefined;

  private constructor(starter: Starter) {
    this.#starter = starter;
  }

  /** Starts an engine. */
  static async open(starter: Starter): Promise<Bridge> {
    const bridge = new Bridge(starter);
    await bridge.#alive();
    return bridge;
  }

  /** Whether calls that cannot wait are possible. */
  get alive(): boolean {
    return this.#living !== undefined;
  }

  /** Asks for what is answered later. */
  async call<T, M extends keyof Later = keyof Later>(method: M, ...args: Later[M]): Promise<T> {
    return JSON.parse(await this.text(method, ...args));
  }

  /** The answer as it comes. */
  text<M extends keyof Later>(method: M, ...args: Later[M]): Promise<string> {
    return this.#told(method, (engine) => engine.call(method, ...args));
  }

  /** Runs a session. */
  async sync<T>(direction: Direction, entity?: string, operations?: string, signal?: AbortSignal): Promise<T> {
    return JSON.parse(await this.#told('sync', (engine) => engine.sync(direction, entity, operations, signal)));
  }

  #told(method: string, run: (engine: Engine) => Promise<string>): Promise<string> {
    const began = Date.now();
    const answer = this.#later(run);
    const ended = (error?: FieldSyncError) => this.#starter.called?.(method, Date.now() - began, error);
    answer.then(() => ended(), ended);
    return answer;
  }

  #later(run: (engine: Engine) => Promise<string>): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#ended) {
        reject(this.#ended);
        return;
      }
      this.#waiting.add(reject);
      const refuse = (cause: unknown): void => {
        this.#waiting.delete(reject);
        reject(toFieldSyncError(cause));
      };
      const ask = (living: Living): void => {
        // The engine may have been closed while it started.
        if (!this.#waiting.has(reject)) return;
        try {
          run(living.engine).then(
            (value) => {
              this.#waiting.delete(reject);
              resolve(value);
            },
            (cause: unknown) => refuse(read(cause, living)),
          );
        } catch (cause) {
          refuse(read(cause, living));
        }
      };
      // At once, if possible: the engine gets calls in the order in which they were made.
      if (this.#living) ask(this.#living);
      else this.#alive().then(ask, refuse);
    });
  }

  /** Asks for what is answered at once. */
  now<T, M extends keyof AtOnce = keyof AtOnce>(method: M, ...args: AtOnce[M]): T {
    if (this.#ended) throw this.#ended;
    const living = this.#living;
    if (!living) throw restarting();
    try {
      return JSON.parse(living.engine.now(method, ...args));
    } catch (cause) {
      throw read(cause, living);
    }
  }

  /** Ends the engine. What still waits learns that it is closed. */
  async close(): Promise<void> {
    if (this.#ended) return;
    const closing = this.#living ? this.text('close') : this.#starting?.catch(() => undefined);
    this.#ended = new FieldSyncError('closed', 'This client was closed.');
    clearTimeout(this.#timer);
    try {
      await closing;
    } finally {
      this.#living = undefined;
      this.#forget();
      this.#refuseAll(this.#ended);
    }
  }

  /** The engine that lives, or the next one. */
  async #alive(): Promise<Living> {
    if (this.#living) return this.#living;
    clearTimeout(this.#timer);
    this.#starting ??= this.#start()
      .catch((cause: unknown) => {
        // Who opens is told, and tries again or not; whoever has it open is not left without.
        if (this.#deaths > 0) this.#failed(toFieldSyncError(cause));
        throw cause;
      })
      .finally(() => {
        this.#starting = undefined;
      });
    return this.#starting;
  }

  async #start(): Promise<Living> {
    const instance = this.#starter.instance();
    const again = this.#deaths > 0;
    // What an instance that dies now would answer, it never does.
    const engine = await new Promise<Engine>((resolve, reject) => {
      const forget = instance.onDeath(reject);
      this.#starter.start(instance).then(resolve, reject).finally(forget);
    });
    // Dead since it answered: nobody was listening, and nobody would start the next one.
    if (instance.death) throw instance.death;
    const living = { engine, instance, since: Date.now() };
    if (this.#ended) {
      await engine.call('close');
      throw this.#ended;
    }
    this.#living = living;
    this.#forget = instance.onDeath((death) => this.#died(living, death));
    this.#starter.started(again);
    return living;
  }

  #died({ since }: Living, death: FieldSyncError): void {
    this.#living = undefined;
    if (Date.now() - since > CALM_MS) this.#deaths = 0;
    this.#refuseAll(death);
    this.#startLater();
  }

  #failed(error: FieldSyncError): void {
    if (this.#ended) return;
    this.#starter.failed(error);
    // A newer release has the database now: no later try of this one can succeed, until the page is reloaded.
    if (error.code !== 'outdated') this.#startLater();
  }

  /** The first time at once; while it goes on dying, after a second, two, four. */
  #startLater(): void {
    if (this.#ended) return;
    const wait = this.#deaths === 0 ? 0 : Math.min(500 * 2 ** this.#deaths, WAIT_MS_MAX);
    this.#deaths += 1;
    // A start that fails is not lost here: it has told, and set the next timer.
    this.#timer = setTimeout(() => void this.#alive().catch(() => undefined), wait);
  }

  #refuseAll(error: FieldSyncError): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const reject of waiting) reject(error);
  }
}

/** What the boundary threw. Whatever it is: if the instance died of it, that is what there is to say. */
function read(cause: unknown, { instance }: Living): FieldSyncError {
  if (isTrap(cause)) instance.die(cause);
  return instance.death ?? toFieldSyncError(cause);
}

function restarting(): FieldSyncError {
  return new FieldSyncError('instance_dead', 'The FieldSync engine is being started again. Nothing was done.', {
    retryable: true,
  });
}
