/**
 * The audit trail: what happened to every operation on this device, row after row, each linked to the one before by its
 * hash. docs/audit.md says what is in a row and what the trail proves. Every reader goes through it in pages.
 */

import type {
  AuditFilter,
  AuditRow,
  AuditSink,
  AuditVerification,
  ComplianceLimits,
  ComplianceReport,
  SinkOptions,
  VerifyOptions,
} from './audit-shapes.js';
import type { AuditPiece, AuditStep } from './boundary.js';
import type { Bridge } from './bridge.js';
import { Delivery } from './delivery.js';
import { FieldSyncError } from './errors.js';
import type { Events } from './events.js';
import { name, optionsOf, optionsText } from './input.js';
import type { Timers } from './load.js';

export class Audit {
  readonly #bridge: Bridge;
  readonly #events: Events;
  readonly #after: Timers;

  constructor(bridge: Bridge, events: Events, after: Timers) {
    this.#bridge = bridge;
    this.#events = events;
    this.#after = after;
  }

  /**
   * The rows that a filter means: at most `limit`, by default 100. For the next ones, `after` is the number of the last.
   * In the place of a row that cannot be read, whatever it told, one says so (`unreadable`). Fails with `invalid_value` for a
   * filter that makes no sense.
   */
  async query(filter: AuditFilter = {}): Promise<AuditRow[]> {
    return this.#bridge.call('auditQuery', '', filterText(filter));
  }

  /**
   * Follows the trail, computes each hash from the row as it is stored, and names the first row that is not in order.
   * `from` begins at a later row and takes the one before it as it is. With `server` the result has what the server holds of
   * the trail, which finds what was written anew with every link in it right. Fails with `aborted` when `signal` ends it.
   */
  async verify(options?: VerifyOptions): Promise<AuditVerification> {
    const { from, server, onProgress, signal } = optionsOf(options, {
      from: 'other',
      server: 'boolean',
      onProgress: 'function',
      signal: 'signal',
    });
    let position = optionsText({ from, server }, 'invalid_value');
    for (;;) {
      if (signal?.aborted) throw new FieldSyncError('aborted', 'The verification was stopped by its signal.');
      const text = await this.#bridge.text('auditVerify', position);
      const { result, last, done }: AuditStep = JSON.parse(text);
      onProgress?.({ rows: result.rows, through: result.through, last });
      if (done) return result;
      position = text;
    }
  }

  /**
   * The rows that a filter means as text, in pieces of at most 250 rows: `ndjson` has a row in each line, `csv` (RFC 4180)
   * an entry in each line under a head. Without `limit`, all of them.
   */
  async *export(format: 'ndjson' | 'csv', filter: AuditFilter = {}): AsyncGenerator<string, void, undefined> {
    let text = filterText(filter);
    let more: [] | ['more'] = [];
    for (;;) {
      const piece: AuditPiece = await this.#bridge.call('auditQuery', formatOf(format), text, ...more);
      if (piece.text !== '') yield piece.text;
      if (piece.next === null) return;
      text = filterText({ ...filter, ...piece.next });
      more = ['more'];
    }
  }

  /**
   * Hands every row to the app's own system, in order and at least once: `sink` gets up to 250 rows, and what it resolved
   * for is acknowledged under `sinkName` and does not come again, also after a reload. Where it rejects it is asked again
   * later. Two tabs that deliver to one name can both bring a row. The function that comes back ends it.
   */
  subscribe(sinkName: string, sink: AuditSink, options: SinkOptions = {}): () => void {
    if (typeof sink !== 'function') {
      throw new FieldSyncError('invalid_value', 'sink: a function that takes rows', { details: { path: 'sink' } });
    }
    const delivery = new Delivery(this.#bridge, this.#after, name(sinkName, 'name'), sink, options);
    const stopListening = this.#events.on('queue', () => delivery.poke());
    delivery.poke();
    return () => {
      stopListening();
      delivery.stop();
    };
  }

  /**
   * Whether the trail is in order, whether every operation that left the queue has an end in it, and what waits for longer
   * than the limits allow, by default 24 hours each.
   */
  async complianceReport(limits: ComplianceLimits = {}): Promise<ComplianceReport> {
    return this.#bridge.call('auditReport', optionsText(limits, 'invalid_value'));
  }
}

function formatOf(format: unknown): 'ndjson' | 'csv' {
  // Without one the engine would answer with rows. Whether it is one of the two is the engine's to say.
  return name(format, 'format') as 'ndjson' | 'csv';
}

/** A condition that is `undefined` is refused: it would mean every row. */
function filterText(filter: AuditFilter): string {
  for (const condition of ['operation', 'entity', 'record', 'event', 'user', 'since', 'until'] as const) {
    if (typeof filter === 'object' && filter !== null && condition in filter && filter[condition] === undefined) {
      throw new FieldSyncError('invalid_value', `${condition}: undefined would mean every row`, {
        details: { path: condition },
      });
    }
  }
  return optionsText(filter, 'invalid_value');
}
