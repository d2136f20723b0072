/** What keeps this database whole: what of the download could not be taken, and why. */
import type { Bridge } from './bridge.js';
import { filterText } from './input.js';
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
  async quarantine({ after, limit }: QuarantineOptions = {}): Promise<Quarantined[]> {
    // Of a listed one its place is enough.
    const place = after && { after: { entity: after.entity, id: after.id } };
    return this.#bridge.call('quarantine', filterText({ ...place, ...(limit !== undefined && { limit }) }));
  }
}
