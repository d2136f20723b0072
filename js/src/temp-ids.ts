/**
 * Temporary IDs: what a record is called until the server names it. Each ID a record ever had keeps finding it.
 */
import type { Bridge } from './bridge.js';
import { FieldSyncError } from './errors.js';
import { idText, name } from './input.js';
import type { AnyRecords, EntityOf } from './records.js';
import type { IdMapping, PendingMapping } from './shapes.js';

/** `temp_<ms>_<random>_<entity>`; the entity is all after the third underscore. */
const TEMP_ID = /^temp_\d+_[0-9a-z]+_(.+)$/is;

/** Whether an ID is a temporary one. Needs no wasm. */
export function isTempId(id: string | number): boolean {
  return typeof id === 'string' && TEMP_ID.test(id);
}

/** The entity that a temp ID names. */
export function entityOfTempId(id: unknown): string | undefined {
  return typeof id === 'string' ? TEMP_ID.exec(id)?.[1] : undefined;
}

export class TempIdResolver<R = AnyRecords> {
  readonly #bridge: Bridge;

  constructor(bridge: Bridge) {
    this.#bridge = bridge;
  }

  /** Issues a temp ID. It may be given to `create` as `id`, and to references before that. */
  generateTempId(entityType: EntityOf<R>): string {
    return this.#bridge.now('generateTempId', name(entityType, 'entityType'));
  }

  /**
   * Maps a temp ID and rewrites everything that refers to it, in one transaction. Repeating it changes nothing;
   * another real ID for the same temp ID is refused.
   */
  async mapTempToReal(tempId: string, realId: number | string): Promise<void> {
    await this.#bridge.call('mapTempToReal', tempIdOf(tempId), idText(realId, 'realId'));
  }

  /** The real ID, or `null` while the server has not answered. */
  async resolveTempId(tempId: string): Promise<number | string | null> {
    return this.#bridge.call('resolveTempId', tempIdOf(tempId));
  }

  /** Lets go what waits for this mapping. The mapping's own cascade does it, so this is the same plan. */
  async resolveDependentOperations(mapping: IdMapping): Promise<void> {
    await this.mapTempToReal(mapping?.tempId, mapping?.realId);
  }

  /** Rewrites the references to a record of that entity. */
  async updateReferences(entityType: EntityOf<R>, oldId: string, newId: number | string): Promise<void> {
    const [entity, from, to] = [name(entityType, 'entityType'), name(oldId, 'oldId'), idText(newId, 'newId')];
    await this.#bridge.call('updateReferences', entity, from, to);
  }

  isTempId(id: string | number): boolean {
    return isTempId(id);
  }

  /** Temp IDs that were issued and not answered. */
  async getPendingMappings(): Promise<PendingMapping[]> {
    return this.#bridge.call('pendingMappings');
  }
}

function tempIdOf(id: unknown): string {
  if (typeof id === 'string' && TEMP_ID.test(id)) return id;
  throw new FieldSyncError('invalid_value', 'tempId: this is no temp ID', { details: { path: 'tempId' } });
}
