/**
 * The shapes that the public methods take and give. Names and members are promised; a type may only widen.
 */
import type { FieldSyncError } from './errors.js';
import type { Alert } from './log-shapes.js';
import type { Key, Stored } from './records.js';

/** `error` if and only if the last session was not a success. */
export type SyncStatusName = 'idle' | 'syncing' | 'success' | 'error';

/** Why a session did not reach its end. Nothing is lost by it. */
export interface SyncError {
  code: string;
  message: string;
  /** Whether it goes on by itself later. */
  retryable: boolean;
  /** How long the server wants to be left alone. */
  retryAfterMs?: number;
  /** Of `garbled`: what the download was of, `null` for everything, and behind which checkpoint the page lay. */
  details?: { entity: string | null; checkpoint: string | null };
}

/** What a session did. `success` is true when `failed` is 0 and `errors` is empty; conflicts do not make it false. */
export interface SyncResult {
  success: boolean;
  synced: number;
  failed: number;
  conflicts: number;
  operations: SyncOperation[];
  errors: SyncError[];
  /** In ms. */
  duration: number;
  /** Records that came. */
  downloaded?: number;
  /** Records that came and could not be read, or are not as the schema declares them: `integrity.quarantine()` tells. */
  quarantined?: number;
  /** What became of each operation that was sent. */
  results?: OperationResult[];
  /** Temp IDs whose real ones became known. */
  idMappings?: IdMapping[];
  /** The entity, if the session was about one. */
  entityType?: string;
  /** When it began, in ms. */
  started?: number;
  direction?: 'up' | 'down' | 'both';
}

/** A session about one entity. */
export type EntitySyncResult = SyncResult & { entityType: string; downloaded: number };

/** What became of a batch: of the operations that were asked for, and of the unsent ones that they needed. */
export interface BatchResult {
  results: OperationResult[];
  synced: number;
  failed: number;
  conflicts: number;
  idMappings: IdMapping[];
  /** In ms. */
  duration: number;
  /** Why it stopped early. What has no result by then is still queued. */
  errors?: SyncError[];
}

/** A result as an event tells it: the operations by their number. */
export type SessionSummary = Omit<SyncResult, 'operations' | 'results' | 'idMappings'> & { operations: number };

export type OperationKind = 'create' | 'update' | 'delete';

/** `syncing`, `blocked` and `failed` are derived: the operation itself is pending. */
export type OperationState = 'pending' | 'syncing' | 'blocked' | 'failed' | 'acknowledged' | 'conflict' | 'parked';

/** What changed in an update: JSON pointers or field names, and their values. */
export interface Delta {
  set?: Record<string, unknown>;
  unset?: string[];
  /** What is added to the counts of fields with the rule `counter`. Only operations have it. */
  add?: Record<string, number>;
  /** What happens to the items of fields with the rule `set` or `list`, by their names. Only operations have it. */
  lists?: Record<string, ListDelta>;
}

/** Items that are put into a list, changed in it or taken out, as pointers into the object of the items by their names. */
export interface ListDelta {
  /** The field that tells the items apart. A set has none. */
  by?: string;
  set?: Record<string, unknown>;
  unset?: string[];
  /** The names in the order that the list gets. */
  order?: string[];
}

/** One unfinished or just finished operation, shown with the IDs that are valid now. */
export interface SyncOperation {
  id: string;
  /** Its place in the order in which this client wrote. */
  seq: number;
  entity: string;
  recordId: Key;
  kind: OperationKind;
  /** The record of a create, the {@link Delta} of an update. */
  data?: unknown;
  base?: unknown;
  /** In ms. */
  stamp?: number;
  author?: string;
  /** The operation in whose place it was enqueued. */
  supersedes?: string | null;
  state: OperationState;
  createdAt: number;
  version?: string | null;
  serverVersion?: string | null;
  /** In ms. */
  lastModified?: number;
}

/** What became of one operation of a batch. */
export interface OperationResult {
  /** The temp ID of a record that was created here. */
  offlineId?: string;
  /** `null`: the server has no such record, because the create was refused. */
  serverId: string | number | null;
  /**
   * `conflict`: the server's record had moved on. Where both changes go together, what comes of them was sent as an operation of
   * its own, and no conflict is counted or listed.
   */
  status: 'success' | 'conflict' | 'failed';
  message?: string;
  operationId?: string;
  entityType?: string;
}

/** A temp ID and the real ID that the server gave it. */
export interface IdMapping {
  tempId: string;
  realId: number | string;
  entityType: string;
  createdAt: number;
  syncedAt: number;
}

/** A temp ID that was issued and is not answered yet. */
export type PendingMapping = Omit<IdMapping, 'realId' | 'syncedAt'> & {
  realId?: number | string | null;
  syncedAt?: number | null;
};

export interface SyncProgress {
  phase: 'initialize' | 'upload' | 'download' | 'finalize';
  done: number;
  total: number;
  bytes: number;
  entityType?: string;
}

/** The references of one record by field: `petId`, `clientId`, `attendees[].practitionerId`. */
export type RelationshipMap = Record<string, number | string | (number | string)[] | undefined>;

/** One operation and the ids of those that must go before it, with the fields that make it so. */
export interface DependencyNode {
  operation: SyncOperation;
  dependsOn: string[];
  fields: string[];
}

/** A cycle: operation ids in order, and the fields that close it. */
export interface DependencyCycle {
  operations: string[];
  fields: string[];
}

export interface ValidationResult {
  valid: boolean;
  errors: { path: string; code: string; message: string }[];
}

/** An operation in the queue: what it carries, where it stands, and why it waits. */
export interface QueueItem {
  seq: number;
  operationId: string;
  entity: string;
  recordId: Key;
  kind: OperationKind;
  payload: unknown;
  state: OperationState;
  /** Why it is not sent yet; `waitsFor` names operations or temp IDs. */
  reason: {
    code: string;
    message: string;
    waitsFor?: Key[];
    path?: string | null;
    conflictId?: number;
    faults?: RecordFault[];
  } | null;
  attempts: number;
  lane: string | null;
  createdAt: number;
  /** A tab picked it for sending, or it was exported or imported: never rewritten; `discard` refuses it while pending. */
  sealed: boolean;
  operation?: SyncOperation;
  /** What is left of the text of an operation that cannot be read: `reason.code` is `damaged`, and `discard` gives it up. */
  damaged?: string;
}

/** The client at a glance. */
export interface SyncStatus {
  state: SyncStatusName;
  pending: number;
  conflicts: number;
  parked: number;
  connectivity: 'unknown' | 'online' | 'offline';
  /** End of the last successful session, in ms. */
  lastSync: number | null;
  lastError: SyncError | null;
  /** Set offline by hand. */
  offline?: boolean;
  /** Nothing is synced until `engine.resume()`. */
  paused?: boolean;
  /** What has to happen before anything goes. */
  reason?: 'paused' | 'wrong_user' | 'auth_required' | null;
}

/** Counts since the client was opened. More are added as they are measured. */
export interface SyncReport {
  transactions: number;
  requests: number;
  bytesUp: number;
  bytesDown: number;
  operationsUp: number;
  recordsDown: number;
  /** What was kept for as long as the settings say, and went. */
  sessionsPurged: number;
  conflictsPurged: number;
  auditPurged: number;
  [count: string]: unknown;
}

/** A field that is not as it may be. */
export interface RecordFault {
  /** The field, dotted. */
  path: string;
  /**
   * What it breaks of what the schema says of it; `transform`: it has no form for the wire; `validator`: a function of the app
   * says so.
   */
  rule: 'type' | 'required' | 'min' | 'max' | 'minLength' | 'maxLength' | 'enum' | 'transform' | 'validator';
  /** What a function of `validators` says of it. */
  message?: string;
}

/** A record of the download that was not taken. */
export interface Quarantined {
  entity: string;
  id: Key;
  /** The version of the record that was not taken. */
  version: string;
  /** For people. */
  reason: string;
  /** Empty: it could not be read at all. */
  faults: RecordFault[];
  /** In ms, by the device. */
  since: number;
  /** The version of the schema that it was held against last. */
  schemaVersion: number;
}

/** What became of a saved change. */
export type SyncedOutcome<T> =
  | { status: 'applied'; version: string | null; record?: Stored<T> | null }
  | { status: 'conflict'; conflictId: string | number }
  | { status: 'rejected'; error: { code: string; message: string; path?: string | null; faults?: RecordFault[] } }
  /** Given up, wiped, or created and deleted again before anything was sent: it never takes effect from here. */
  | { status: 'discarded' }
  /** The record was so already: nothing is to be sent. */
  | { status: 'unchanged' }
  /** This client was closed, or died, before the answer came. The operation is kept and goes on elsewhere. */
  | { status: 'pending'; error: FieldSyncError };

/** A change that is stored: it survives the tab, the browser and a power cut. */
export interface Saved<T> {
  record: Stored<T>;
  /** `null` if the record was so already. */
  operationId: string | null;
  /** Settles when the server has answered. Never rejects. */
  readonly synced: Promise<SyncedOutcome<T>>;
}

/** A delete that is stored. There is no record any more. */
export interface Deleted {
  record: null;
  operationId: string;
  readonly synced: Promise<SyncedOutcome<never>>;
}

/** The answers to the writes of a transaction, in their order. */
export type SavedAll<R, W extends readonly unknown[]> = {
  -readonly [At in keyof W]: W[At] extends { kind: 'delete' }
    ? Deleted
    : W[At] extends { entity: infer E extends keyof R }
      ? Saved<R[E]>
      : never;
};

/** The events of a client by name. */
export interface SyncEvents {
  status: { type: 'status' } & SyncStatus;
  progress: { type: 'progress' } & SyncProgress;
  /** Records changed. `ids` is absent when there are many. */
  change: { type: 'change'; entity: string; ids?: Key[]; source: 'local' | 'sync' | 'elsewhere' };
  queue: { type: 'queue' };
  /** A conflict was found, its record written here, or it was renewed, decided, brought back. */
  conflict: { type: 'conflict'; id: number };
  /**
   * The server did not take the audit trail. `gap`: rows before this one are missing there and here. `fork`: it has another
   * row of this number, or before it. `broken`: the row is not linked to the one before, or cannot be read. Else the code of
   * a request that it refused as a whole. Once for each opening.
   */
  audit: { type: 'audit'; code: 'audit_refused'; reason: 'gap' | 'fork' | 'broken' | (string & {}); number: number };
  session: { type: 'session'; result: SessionSummary };
  /**
   * A function of the app failed, was late or answered what it may not. What it was asked about is not in here. With the code
   * `damaged`: a stored row cannot be read; `entity` is a table where it is about no record.
   */
  warning: { type: 'warning'; code: string; entity: string; conflictId?: number; recordId?: Key };
  /** Somebody should look; with `over`, need not any more. */
  alert: { type: 'alert' } & Alert & { over?: true };
  /** Another tab runs a newer layout of the database: saves fail until this page is reloaded. */
  outdated: { type: 'outdated' };
}

export type EventName = keyof SyncEvents;
export type SyncEvent = SyncEvents[EventName];
