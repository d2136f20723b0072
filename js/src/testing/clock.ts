/**
 * A clock that moves only when a test says so.
 *
 * Its devices take the time and set their timers here. `advance` lets time pass: each timer that is due fires at its own
 * moment, and what it began comes to rest before the next one does. Storage and answers take no time at all.
 */

interface Timer {
  at: number;
  call: () => void;
}

/** Real ones, before anybody's fake timers: a turn of the event loop passes whatever the clock says. */
const { setTimeout: nextTask } = globalThis;
const nextTurn = (globalThis as { setImmediate?: (call: () => void) => unknown }).setImmediate;

/** So many quiet turns in a row are rest: what follows on a stored row or an answer begins within one or two. */
const QUIET_TURNS = 5;

export class TestClock {
  readonly #timers = new Map<number, Timer>();
  readonly #watched: (() => boolean)[] = [];
  #now: number;
  #lastTimer = 0;

  /** `now`: when it begins, ms since 1970; the real time without it. */
  constructor(now: number = Date.now()) {
    this.#now = now;
  }

  /** Milliseconds since 1970. */
  now(): number {
    return this.#now;
  }

  /** Lets so many ms pass, and waits until everything that came due in them has come to rest. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await this.settle();
    for (let due = this.#next(end); due; due = this.#next(end)) {
      const [id, timer] = due;
      this.#timers.delete(id);
      this.#now = Math.max(this.#now, timer.at);
      timer.call();
      await this.settle();
    }
    this.#now = end;
  }

  /** Waits, without any time passing, until nothing moves: no transaction is open and no request is under way. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < QUIET_TURNS; quiet += 1) {
      await turn();
      if (this.#watched.some((isBusy) => isBusy())) quiet = -1;
    }
  }

  /** For its devices: `settle` waits for one more. */
  watch(isBusy: () => boolean): void {
    this.#watched.push(isBusy);
  }

  /** For its devices: as `setTimeout`. */
  setTimer(call: () => void, ms: number): number {
    this.#lastTimer += 1;
    this.#timers.set(this.#lastTimer, { at: this.#now + Math.max(0, ms), call });
    return this.#lastTimer;
  }

  /** For its devices: as `clearTimeout`. */
  clearTimer(id: number): void {
    this.#timers.delete(id);
  }

  /** The timer that fires next, if it does until then; of several at one moment the one that was set first. */
  #next(end: number): [number, Timer] | undefined {
    let first: [number, Timer] | undefined;
    for (const entry of this.#timers) if (!first || entry[1].at < first[1].at) first = entry;
    return first && first[1].at <= end ? first : undefined;
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => (nextTurn ? nextTurn(resolve) : nextTask(resolve)));
}
