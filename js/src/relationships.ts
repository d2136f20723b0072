/**
 * What refers to what: the references in a record, and the order that they impose on operations. That is computed at once
 * and reads nothing but the schema and its arguments. And which references of the stored records lead to nothing.
 */
import type { Bridge } from './bridge.js';
import { FieldSyncError, toFieldSyncError } from './errors.js';
import { listOf, name, optionsOf, reasonText, recordText, toText } from './input.js';
import type {
  IntegrityReport,
  OrphanedEntity,
  OrphanStrategy,
  OrphansResolved,
  ResolvedOrphan,
} from './orphan-shapes.js';
import type { AnyRecords, EntityOf } from './records.js';
import type { DependencyCycle, DependencyNode, RelationshipMap, SyncOperation, ValidationResult } from './shapes.js';
import { entityOfTempId } from './temp-ids.js';

export interface CheckOptions {
  /** At most so many dangling references are listed, from 0; the rest is counted. All are listed if not said. */
  limit?: number | undefined;
}

export interface ResolveOrphansOptions {
  /** Stores nothing, and answers what it would come to. */
  dryRun?: boolean | undefined;
  /** Why, for the audit trail: at most 1,000 characters. It stands with what is given up. */
  reason?: string | undefined;
}

/** What the engine says of a resolution. */
interface Told {
  resolved: ResolvedOrphan[];
  failed: { entity: string; id: number | string; error: unknown }[];
}

export class RelationshipManager<R = AnyRecords> {
  readonly #bridge: Bridge;

  constructor(bridge: Bridge) {
    this.#bridge = bridge;
  }

  /** The references in a record, by the paths that the schema declares. */
  extractRelationships(entityType: EntityOf<R>, data: unknown): RelationshipMap {
    const [entity, text] = [name(entityType, 'entityType'), recordText(data)];
    return this.#bridge.now('extractRelationships', entity, text);
  }

  /** Which operation must go before which. */
  buildDependencyGraph(operations: SyncOperation[]): DependencyNode[] {
    return this.#bridge.now('buildDependencyGraph', toText(listOf(operations, 'operations')));
  }

  /** The operations in an order in which they can be sent, first in first out among equals. */
  topologicalSort(nodes: DependencyNode[]): SyncOperation[] {
    return this.#bridge.now('topologicalSort', toText(listOf(nodes, 'nodes')));
  }

  /** Every cycle, with the fields that make it. */
  findCycles(nodes: DependencyNode[]): DependencyCycle[] {
    return this.#bridge.now('findCycles', toText(listOf(nodes, 'nodes')));
  }

  /** Whether the references of a record have the form of IDs. The entity can be left out if the record has a temp ID. */
  validateRelationships(entity: unknown, entityType?: EntityOf<R>): ValidationResult {
    const text = recordText(entity);
    const type = entityType ?? entityOfTempId((entity as { id?: unknown }).id);
    if (type === undefined) {
      throw new FieldSyncError('unknown_entity', 'Say of which entity this record is: it has no temp ID to tell.');
    }
    return this.#bridge.now('validateRelationships', name(type, 'entityType'), text);
  }

  /**
   * Where the references of all stored records lead, those of unsent ones too. It reads 500 records at a time, so that the
   * page goes on; what is written meanwhile is seen or not. Fails with `invalid_value` for a `limit` that makes no sense.
   */
  async checkReferentialIntegrity(options?: CheckOptions): Promise<IntegrityReport> {
    const { limit } = optionsOf(options, { limit: 'other' });
    return this.#bridge.call('checkReferences', toText(limit === undefined ? {} : { limit }));
  }

  /** The references that lead to nothing: `dangling` of {@link checkReferentialIntegrity}. */
  async findOrphanedEntities(options?: CheckOptions): Promise<OrphanedEntity[]> {
    return (await this.checkReferentialIntegrity(options)).dangling;
  }

  /**
   * Ends the records with a reference that leads to nothing, each in a transaction of its own. `delete`: what the server has
   * is deleted by an ordinary write, what it never had is given up as by `queue.discard`, and stays in the audit trail.
   * `queue`: an unsent operation that would take the reference to the server is parked until a person edits, retries or
   * discards it, or a download brings the record. `keep`: nothing.
   *
   * What cannot be ended is told in `failed`, and the others are all the same: `has_dependents` where a record that is no
   * orphan refers to it, `sealed`, `in_conflict`, and of `queue` `not_queued` where nothing unsent has the reference. Fails with
   * `invalid_value`, and with `reason_required` where the settings want a `reason` for giving up and there is none.
   */
  async resolveOrphans(strategy: OrphanStrategy, options?: ResolveOrphansOptions): Promise<OrphansResolved> {
    const { dryRun = false, reason } = optionsOf(options, { dryRun: 'boolean', reason: 'other' });
    const text = toText({ dryRun, reason: reasonText(reason) });
    const { resolved, failed }: Told = await this.#bridge.call('resolveOrphans', name(strategy, 'strategy'), text);
    return { resolved, failed: failed.map(({ error, ...record }) => ({ ...record, error: toFieldSyncError(error) })) };
  }
}
