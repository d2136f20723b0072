/**
 * Whether the stored rows are what was written, what can be mended of those that are not, and what of the download could
 * not be taken. docs/integrity.md says what is checked and what each fault means, docs/validation.md what is quarantined.
 */
import type { IntegrityStep } from './boundary.js';
import type { Bridge } from './bridge.js';
import { FieldSyncError } from './errors.js';
import { filterText, optionsOf, optionsText, toText } from './input.js';
import type {
  CheckIntegrityOptions,
  IntegrityCheck,
  IntegrityFault,
  IntegrityRepair,
  RepairOptions,
} from './integrity-shapes.js';
import type { Key } from './records.js';
import type { Quarantined } from './shapes.js';

export interface QuarantineOptions {
  /** Those after this one: the last of the page before. */
  after?: { entity: string; id: Key };
  /** At most so many, from 1. All if not said. */
  limit?: number;
}

export class Integrity {
  readonly #bridge: Bridge;

  constructor(bridge: Bridge) {
    this.#bridge = bridge;
  }

  /**
   * The records of the download that could not be read, or are not as the schema declares them, by entity and id. What was
   * known of them before stays as it was. They are looked at again when a client is opened with another declaration, or by
   * another release of this package. Fails with `invalid_value` and the `path` of an option that makes no sense.
   */
  async quarantine(options?: QuarantineOptions): Promise<Quarantined[]> {
    const { after, limit } = optionsOf(options, { after: 'other', limit: 'other' });
    // Of a listed one its place is enough.
    const place = after && { after: { entity: after.entity, id: after.id } };
    return this.#bridge.call('quarantine', filterText({ ...place, ...(limit !== undefined && { limit }) }));
  }

  /**
   * Reads everything that is stored, 250 rows at a time, so that the page goes on; what is written meanwhile is seen or not.
   * Changes nothing but the times at which the rows were last checked and the trail was last verified. Fails with `aborted` when `signal` ends it.
   */
  async checkIntegrity(options?: CheckIntegrityOptions): Promise<IntegrityCheck> {
    const { onProgress, signal } = optionsOf(options, { onProgress: 'function', signal: 'signal' });
    const faults: IntegrityFault[] = [];
    let position: unknown = {};
    for (;;) {
      if (signal?.aborted) throw new FieldSyncError('aborted', 'The check was stopped by its signal.');
      const step: IntegrityStep = await this.#bridge.call('checkIntegrity', toText(position));
      faults.push(...step.faults);
      onProgress?.(step.progress);
      if (step.result !== null) return { ...step.result, faults };
      position = step.position;
    }
  }

  /**
   * Mends what can be mended without losing unsent work, and says what it did and what it left. What the server has is
   * taken away and downloaded anew by the next session. Each mended row is told in the audit trail. Rows that an older
   * release wrote get their hash.
   */
  async repair(options: RepairOptions = {}): Promise<IntegrityRepair> {
    return this.#bridge.call('repair', optionsText(options, 'invalid_value'));
  }
}
