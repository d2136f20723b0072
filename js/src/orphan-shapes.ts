/**
 * The shapes of references that lead to nothing, and of what is done about them. Names and members are promised; a type may
 * only widen.
 */
import type { FieldSyncError } from './errors.js';
import type { Key } from './records.js';
import type { QueueItem } from './shapes.js';

/** A reference that leads to nothing, and the record that holds it. */
export interface OrphanedEntity {
  /** The record. */
  entity: string;
  id: Key;
  /** The declared path of the reference. */
  path: string;
  /** What it names. */
  target: { entity: string; id: Key };
  /**
   * `deleted`: it was deleted here. `missing`: everything of its entity was downloaded, and it is not among that; or it is a
   * temp ID that nothing here will create. `given-up`: its create was given up before the server had it.
   */
  why: 'deleted' | 'missing' | 'given-up';
  /** Whether something of the record waits in the queue. */
  unsent: boolean;
}

/** Where all references lead. */
export interface IntegrityReport {
  /** Records that were looked at: all of the entities that declare references. */
  records: number;
  /** References in them. */
  references: number;
  /** Those that lead to nothing, as many as `limit` allows. */
  dangling: OrphanedEntity[];
  /** How many more there are. */
  more: number;
  /** How many lead to records that may not have been downloaded: no orphans as far as is known here. */
  unknown: number;
  /** Whether none leads to nothing. */
  ok: boolean;
}

/** What is done with records that refer to nothing. */
export type OrphanStrategy = 'delete' | 'keep' | 'queue';

/** A record that referred to nothing, and what became of it. */
export interface ResolvedOrphan {
  entity: string;
  id: Key;
  /** `discarded`: the server never had it, and its unsent operations were given up. `queued`: they wait for a person. */
  action: 'deleted' | 'discarded' | 'kept' | 'queued';
  /** The operations that were given up or parked, with all that depends on those, each with its payload. */
  operations: Pick<QueueItem, 'operationId' | 'entity' | 'recordId' | 'kind' | 'payload'>[];
}

/** What became of the records that referred to nothing, or of a dry run would. */
export interface OrphansResolved {
  resolved: ResolvedOrphan[];
  failed: { entity: string; id: Key; error: FieldSyncError }[];
}
