/**
 * The delivery of the audit trail to one sink of the app: page by page, the next one only after the last was taken and
 * that is stored. A sink that fails is left alone for a while, longer each time, whatever happens meanwhile; nothing else
 * waits for it.
 */
import type { AuditRow, AuditSink, SinkOptions } from './audit-shapes.js';
import type { Bridge } from './bridge.js';
import { FieldSyncError } from './errors.js';
import { reportUncaught } from './events.js';
import type { Timers } from './load.js';

/** Rows that are handed over at a time. */
const ROWS = 250;
const WAIT_MS = 1_000;
const WAIT_MS_MAX = 60_000;

export class Delivery {
  readonly #bridge: Bridge;
  readonly #after: Timers;
  readonly #name: string;
  readonly #sink: AuditSink;
  readonly #options: SinkOptions;
  /** The number of the last row that it took, as far as that is known here. */
  #taken = 0;
  #running = false;
  /** Something happened while it ran. */
  #again = false;
  #failures = 0;
  #stopWaiting: (() => void) | undefined;
  #stopped = false;

  constructor(bridge: Bridge, after: Timers, name: string, sink: AuditSink, options: SinkOptions) {
    this.#bridge = bridge;
    this.#after = after;
    this.#name = name;
    this.#sink = sink;
    this.#options = options;
  }

  /** There may be rows that it does not have. */
  poke(): void {
    if (this.#running) this.#again = true;
    else if (!this.#stopped && this.#stopWaiting === undefined) void this.#run();
  }

  /** Hands nothing over any more. */
  stop(): void {
    this.#stopped = true;
    this.#stopWaiting?.();
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      do this.#again = false;
      while ((await this.#page()) || this.#again);
    } catch (cause) {
      this.#failed(cause);
    } finally {
      this.#running = false;
    }
  }

  /** Whether there was one. */
  async #page(): Promise<boolean> {
    // Stores what was taken here, and learns what was taken in other tabs and before a reload.
    const after: number = await this.#bridge.call('auditTaken', this.#name, String(this.#taken));
    if (this.#stopped) return false;
    const filter = JSON.stringify({ after, limit: ROWS });
    const rows: AuditRow[] = await this.#bridge.call('auditQuery', '', filter);
    const last = rows.at(-1);
    if (last === undefined || this.#stopped) return false;
    await this.#sink(rows);
    this.#taken = last.number;
    this.#failures = 0;
    return true;
  }

  #failed(cause: unknown): void {
    if (cause instanceof FieldSyncError && cause.code === 'closed') this.stop();
    if (this.#stopped) return;
    const wait = Math.min(WAIT_MS * 2 ** this.#failures, WAIT_MS_MAX);
    this.#failures += 1;
    this.#stopWaiting = this.#after(() => {
      this.#stopWaiting = undefined;
      this.poke();
    }, wait);
    try {
      this.#options.onError?.(cause);
    } catch (thrown) {
      reportUncaught(thrown);
    }
  }
}
