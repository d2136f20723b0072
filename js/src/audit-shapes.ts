/**
 * The shapes of the audit trail. Names and members are promised; a type may only widen.
 */

import type { Key } from './records.js';
import type { OperationKind, SyncError } from './shapes.js';

/** What happened to an operation. docs/audit.md explains each; more may come. */
export type AuditEventName =
  | 'written'
  | 'applied'
  | 'conflict'
  | 'parked'
  | 'superseded'
  | 'coalesced'
  | 'rebased'
  | 'amended'
  | 'settled'
  | 'returned'
  | 'blocked'
  | 'discarded'
  | 'exported'
  | 'imported'
  | 'restored'
  | 'undone'
  | 'resolved'
  | 'purged'
  | 'repaired'
  | (string & {});

/** What happened to one operation, with the facts of that event. */
export interface AuditEntry {
  operation: string;
  entity: string;
  /** By the ID that it had then. */
  record: Key;
  event: AuditEventName;
  /** What was written. */
  kind?: OperationKind;
  /** The SHA-256 of what was written, without showing it. */
  content?: string;
  /** The paths of the fields that were written, where `audit.content` is `fields`. */
  fields?: string[];
  /** What was written, where `audit.content` is `payload`, and what `resolveOrphans('delete')` gave up. */
  payload?: { kind: OperationKind; data?: Record<string, unknown>; delta?: Record<string, unknown> };
  /**
   * Where the record looks different behind the act: the SHA-256 of its fields before, without one where it was not there. Of
   * several entries about a record the last has it.
   */
  before?: string;
  /** The same of what it is since. */
  after?: string;
  /** The record's version at the server. */
  version?: string;
  /** The conflict's `id`. */
  conflict?: number;
  /** Why it was parked; what was mended and how. */
  code?: string;
  /** The operation in whose place it is, or that it became part of. */
  by?: string;
  [fact: string]: unknown;
}

/** A row of the trail: an act, or where one cannot be read, that. `unreadable` tells them apart. */
export type AuditRow = AuditAct | AuditHole;

/** One act, with everything that it did to operations. */
export interface AuditAct {
  unreadable?: undefined;
  number: number;
  /** The number of the row before, 0 before the first. */
  previous?: number;
  /** In ms, by the device. Never falls from row to row. */
  at: number;
  /** The same in ms, and a counter within them. */
  stamp: [ms: number, counter: number];
  /** The server's time minus that of the device, in ms, as far as it was known then. */
  offset?: number;
  user: string;
  /** The name of this database on this device; it is not in the hash. */
  device: string;
  /** Why, where a person said so. */
  reason?: string;
  entries: AuditEntry[];
  /** SHA-256, 64 hexadecimal digits, over the hash of the row before and this row. */
  hash: string;
}

/** Stands where a row cannot be read: nobody knows of what it told, nor when. */
export interface AuditHole {
  unreadable: true;
  number: number;
  /** The name of this database on this device. */
  device: string;
  entries: [];
  /** SHA-256 of the text that stands there, which a repair links the next row to. */
  hash: string;
  previous?: undefined;
  at?: undefined;
  stamp?: undefined;
  offset?: undefined;
  user?: undefined;
  reason?: undefined;
}

/** Which rows: those with an entry that fulfils every condition about entries, in the time that is named. */
export interface AuditFilter {
  operation?: string;
  entity?: string;
  /** By any ID that it has or had. Needs `entity`. */
  record?: Key;
  event?: AuditEventName;
  /** As whom it was done. */
  user?: string;
  /** In ms, inclusive. */
  since?: number;
  /** In ms, inclusive. */
  until?: number;
  /** Only what comes behind the row with this number, in the order. */
  after?: number | undefined;
  /** By number. Default `asc`. */
  order?: 'asc' | 'desc' | undefined;
  /** 1 to 1,000 rows. */
  limit?: number | undefined;
}

export interface VerifyOptions {
  /** The number of the first row to verify. Default: all. */
  from?: number | undefined;
  onProgress?: ((progress: VerifyProgress) => void) | undefined;
  /** Whether the server is asked what it has of the trail. Default false. */
  server?: boolean | undefined;
  /** Ends it after the page that is under way. */
  signal?: AbortSignal | undefined;
}

export interface VerifyProgress {
  /** Rows that were in order so far. */
  rows: number;
  /** The number of the last of them. */
  through: number;
  /** The number of the last row that there is. */
  last: number;
}

/** What a verification found. */
export interface AuditVerification {
  /** Rows that were in order. */
  rows: number;
  /** The number of the row behind which the trail begins, where earlier ones went with a wipe or by `retention.auditDays`. */
  begins?: number;
  /** The number of the last of them. */
  through: number;
  /** Its hash: kept elsewhere, it proves later that nothing before it was changed since. */
  head: string;
  ok: boolean;
  /** The first row that was not. `missing` names one that is gone, `truncated` one that there must have been. */
  firstBad?: {
    number: number;
    reason: 'changed' | 'missing' | 'inserted' | 'misplaced' | 'unreadable' | 'truncated';
  };
  /** With the option `server`. */
  server?: AuditAtServer;
}

/** What the server has of the trail, held against it. */
export interface AuditAtServer {
  /** Whether the last row that it has is the one of that number here. */
  ok: boolean;
  /** The number of that row, 0 where it has none. */
  through?: number;
  /** Its hash, as the server has it. */
  head?: string;
  /** The hash of the last row in the tenant's chain at the server: kept elsewhere, it proves that one later. */
  auditHead?: string;
  /** Why the server could not be asked. */
  error?: SyncError;
}

/** Takes rows to another system. What it does not resolve for comes again. */
export type AuditSink = (rows: AuditRow[]) => void | Promise<void>;

export interface SinkOptions {
  /** Hears why a delivery failed. It is tried again in any case. */
  onError?: ((error: unknown) => void) | undefined;
}

/** How old something unfinished may be, in ms. Default 24 hours each. */
export interface ComplianceLimits {
  parkedMs?: number | undefined;
  pendingMs?: number | undefined;
  conflictMs?: number | undefined;
  /** How long ago the last purge may be where something is past its time (`retention`). */
  retentionMs?: number | undefined;
}

export interface ComplianceReport {
  chain: AuditVerification;
  /** Up to which row, and when, the whole trail was last found in order before this report. */
  lastVerified: { number: number; at: number } | null;
  /** Up to which row the server has the trail, and since when that is known. */
  uploaded: { number: number; at: number } | null;
  /** That the server did not take the rows behind it: why, at which row, and when. Null as soon as it takes some. */
  refused: { reason: string; number: number; at: number } | null;
  /** When the stored rows were last checked, in ms, how many those were, and how many faults were found. */
  lastCheck: { at: number; rows: number; faults: number } | null;
  /**
   * When a purge last came to its end, and how many rows of each sort are past the time of the settings and could go, of those
   * that a purge looks at first.
   */
  retention: { at: number; syncLog: number; conflicts: number; audit: number };
  /** Operations with an end in the trail, and the ids of those that left the queue without one. */
  terminal: { audited: number; missing: string[] };
  /** `since`: when it was written, in ms. */
  oldestParked: { operationId: string; since: number } | null;
  oldestPending: { operationId: string; since: number } | null;
  /** `oldest`: when that one was found, in ms. */
  openConflicts: { count: number; oldest: number | null };
  /**
   * What is not as it shall be: `chain`, `terminal`, `integrity` (the last check found faults), `upload` (the server refused the trail),
   * or what is older than its limit.
   */
  breaches: ('chain' | 'terminal' | 'integrity' | 'upload' | 'parked' | 'pending' | 'conflicts' | 'retention')[];
}
