/** What the log of sessions is asked, and what it tells. Times are ms by the device. */

/** How a session ended: `partial` where something failed and something was done all the same. */
export type SessionStatus = 'success' | 'partial' | 'failed';

/** Which sessions: all that is named must hold. */
export interface SyncLogFilter {
  /** Begun then or later. */
  since?: number;
  /** Begun then or earlier. */
  until?: number;
  status?: SessionStatus;
  /** `asc`, the oldest first, if not said. */
  order?: 'asc' | 'desc';
  /** At most so many, from 1. All if not said. */
  limit?: number;
  /** Those that come after this one in the order: the `id` of the last of the page before. */
  after?: number;
}

/** Which sessions are added up. */
export type SyncSummaryFilter = Omit<SyncLogFilter, 'order' | 'limit' | 'after'>;

/** A session, or several one after the other that moved nothing and ended the same way. */
export interface SyncLogEntry {
  id: number;
  /** How many sessions it stands for. */
  count: number;
  /** When it began; of several, the first. */
  timestamp: number;
  /** When the last of them began. */
  last: number;
  /** From its first step to its last, ms; of several, that of the longest. */
  duration: number;
  direction: 'upload' | 'download' | 'both';
  /** The entity, if only one was wanted. */
  entityType: string | null;
  status: SessionStatus;
  /** Operations sent and records downloaded. */
  recordsProcessed: number;
  /** Operations applied. */
  uploaded: number;
  /** Records downloaded. */
  downloaded: number;
  /** Operations that the server refused for good. */
  failed: number;
  /** Conflicts found. */
  conflicts: number;
  /** Records that went into quarantine. */
  quarantined: number;
  /** Why it stopped early, as in `SyncError`: its first reason. */
  errorCode: string | null;
  errorMessage: string | null;
  /** Of the bodies of requests and of answers, of several sessions in all. */
  bytesUp: number;
  bytesDown: number;
  /** Batches of operations that went up, and how long it took to build, send and apply all of them, ms. */
  batches: number;
  build: number;
  send: number;
  apply: number;
  userId: string;
  deviceId: string;
}

/** How much waited at one moment. */
export interface QueueSample {
  at: number;
  /** Operations by what they wait for. */
  pending: number;
  conflicts: number;
  parked: number;
  /** When the oldest of them was written. */
  oldestPending: number | null;
  oldestParked: number | null;
}

/** A batch of operations that went up, and whose outcomes are stored. */
export interface BatchMetrics {
  at: number;
  operations: number;
  /** Of the request's body. */
  bytesUp: number;
  /** Lines of operations that met one. */
  conflicts: number;
  /** How long it took to pick and seal it, from the request to its answer, and to store the outcomes: ms. */
  build: number;
  send: number;
  apply: number;
}

/** What this client measured since it was opened in this page. Nothing of it is stored. */
export interface SyncMetrics {
  /** Now. */
  queue: QueueSample;
  /** The sessions of this client; `client.syncLog.summary()` adds up all that are kept. */
  sessions: SyncSummary;
  /** The last 100, the oldest first. */
  batches: BatchMetrics[];
  /** One a minute at most, the last 60, the oldest first. */
  samples: QueueSample[];
}

/** What somebody should look at. docs/monitoring.md says what each is about. */
export type AlertCode =
  | 'sessions_failed'
  | 'conflict_rate'
  | 'integrity'
  | 'storage_high'
  | 'storage_critical'
  | 'parked'
  | 'pending'
  | 'compliance'
  | 'audit_refused'
  | (string & {});

/** Something that somebody should look at. */
export interface Alert {
  code: AlertCode;
  /** Since when it holds, in ms by the device. */
  since: number;
  /** What was seen: a count, a share from 0 to 1, or an age in ms. */
  value: number;
  /** What would be in order. */
  limit: number;
}

/** What sessions come to. */
export interface SyncSummary {
  sessions: { total: number; success: number; partial: number; failed: number };
  /** Operations sent. */
  operations: number;
  uploaded: number;
  downloaded: number;
  failed: number;
  conflicts: number;
  quarantined: number;
  bytesUp: number;
  bytesDown: number;
  /** Batches of operations that went up, and how long it took to build, send and apply all of them, ms. */
  batches: number;
  build: number;
  send: number;
  apply: number;
  /** Sessions that went well, of all: 0 to 1. `null` without a session. */
  successRate: number | null;
  /** Operations that met a conflict, of those sent: 0 to 1. `null` where none was sent. */
  conflictRate: number | null;
  /** ms. */
  duration: { mean: number | null; max: number };
  /** When the first of them began, and the last. */
  first: number | null;
  last: number | null;
  /** By code. `open`: no session has gone well since. */
  errors: { code: string; entity?: string; count: number; firstSeen: number; lastSeen: number; open: boolean }[];
}
