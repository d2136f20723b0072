/** The log of sessions: what each did, and what many come to. The last 500 rows are kept on this device. */
import type { Bridge } from './bridge.js';
import { filterText } from './input.js';
import type { SyncLogEntry, SyncLogFilter, SyncSummary, SyncSummaryFilter } from './log-shapes.js';

export class SyncLog {
  readonly #bridge: Bridge;

  constructor(bridge: Bridge) {
    this.#bridge = bridge;
  }

  /**
   * The sessions that a filter means, the oldest first unless `order` is `desc`. Fails with `invalid_value` and the `path` of
   * a member that makes no sense, also one that is `undefined`: left out, it would match more.
   */
  async list(filter: SyncLogFilter = {}): Promise<SyncLogEntry[]> {
    return this.#bridge.call('syncLog', filterText(filter));
  }

  /** What the sessions come to that a filter means: volume, shares, time, and errors by code. Fails as `list` does. */
  async summary(filter: SyncSummaryFilter = {}): Promise<SyncSummary> {
    return this.#bridge.call('syncSummary', filterText(filter));
  }
}
