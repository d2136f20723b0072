/**
 * What refers to what: the references in a record, and the order that they impose on operations. All of it is
 * computed at once and reads nothing but the schema and its arguments.
 */
import type { Bridge } from './bridge.js';
import { FieldSyncError } from './errors.js';
import { name, recordText, toText } from './input.js';
import type { AnyRecords, EntityOf } from './records.js';
import type { DependencyCycle, DependencyNode, RelationshipMap, SyncOperation, ValidationResult } from './shapes.js';
import { entityOfTempId } from './temp-ids.js';

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
    return this.#bridge.now('buildDependencyGraph', toText(operations));
  }

  /** The operations in an order in which they can be sent, first in first out among equals. */
  topologicalSort(nodes: DependencyNode[]): SyncOperation[] {
    return this.#bridge.now('topologicalSort', toText(nodes));
  }

  /** Every cycle, with the fields that make it. */
  findCycles(nodes: DependencyNode[]): DependencyCycle[] {
    return this.#bridge.now('findCycles', toText(nodes));
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
}
