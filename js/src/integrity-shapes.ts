/**
 * The shapes of a check of the stored rows, and of their repair. Names and members are promised; a type may only widen.
 */
import type { Key } from './records.js';

/** The tables of the database. docs/storage.md says what is in each. */
export type TableName =
  | 'base'
  | 'overlay'
  | 'outbox'
  | 'audit'
  | 'ids'
  | 'conflicts'
  | 'sessions'
  | 'quarantine'
  | 'state';

/** What is wrong with a row. docs/integrity.md explains each; more may come. */
export type FaultCode =
  | 'unreadable'
  | 'hash'
  | 'key'
  | 'index'
  | 'stray'
  | 'queue'
  | 'untold'
  | 'after'
  | 'sequence'
  | 'conflict'
  | 'circle'
  | 'state'
  | 'chain'
  | 'reference'
  | (string & {});

/** A row that is not in order: where, and what, never what it holds. */
export interface IntegrityFault {
  code: FaultCode;
  table: TableName;
  /** The record that the row is about, where its key names one. */
  entity?: string;
  id?: Key;
  /** The row's key; of a reference the path. */
  key: unknown;
  /** For people. */
  message: string;
}

export interface CheckIntegrityOptions {
  onProgress?: ((progress: IntegrityProgress) => void) | undefined;
  /** Ends it after the part that is under way. */
  signal?: AbortSignal | undefined;
}

export interface IntegrityProgress {
  phase: TableName | 'chain' | 'references';
  /** Rows of this phase that were looked at; in `references`, records. */
  done: number;
  /** How many there are, as far as is known; 0 where it is not. */
  total: number;
}

/** What a check found. */
export interface IntegrityCheck {
  ok: boolean;
  /** When it ended, in ms. */
  at: number;
  /** How many rows of each table, how many references, and how many rows that an older release wrote without a hash. */
  checked: Record<TableName | 'references' | 'unhashed', number>;
  /** At most 1,000. */
  faults: IntegrityFault[];
  /** All of them. */
  found: number;
  /** Whether there are more than are listed. */
  truncated: boolean;
}

export interface RepairOptions {
  /** Stores nothing, and answers what it would come to. */
  dryRun?: boolean | undefined;
}

/** What a repair did, or a dry run would. */
export interface IntegrityRepair {
  /**
   * At most 1,000. `dropped`: the row is gone; what the server has comes with the next session. `rebuilt`: made from other
   * rows. `indexed`: its index entries are made anew. `proven`: the audit trail has the hash of the operation in it.
   * `continued`: the trail goes on behind it. `passed`: it went on behind it already, and can go up from there. `renewed`: what
   * is noted of the download, or whose database it is, is made anew.
   */
  mended: (IntegrityFault & {
    action: 'dropped' | 'rebuilt' | 'indexed' | 'proven' | 'continued' | 'passed' | 'renewed' | (string & {});
  })[];
  /** What is left as it is, and why. At most 1,000. */
  left: (IntegrityFault & { reason: string })[];
  /** Rows without a hash that have one now. */
  hashed: number;
  /** Whether the next session downloads everything anew. */
  resync: boolean;
  /** Whether there is more than is listed. */
  truncated: boolean;
}
