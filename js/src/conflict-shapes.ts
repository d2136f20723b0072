/**
 * The shapes of conflicts, and of what is done about them. Names and members are promised; a type may only widen.
 */
import type { FieldSyncError } from './errors.js';
import type { Key } from './records.js';
import type { OperationKind, SyncOperation } from './shapes.js';

/** What two sides did to one record, and what came of it. docs/conflicts.md tells its life. */
export interface Conflict<T = unknown> {
  id: number;
  /** The operation that met it: of this device, or by `origin` of another one. What was written since is not in it. */
  operation: SyncOperation;
  /** The record as this side left it, while it is open with what was written here since; `null`: deleted. */
  localData: T | null;
  /** The record as the other side left it; `null`: deleted, or never there. */
  serverData: T | null;
  /** In ms, by the device; of one that another device met, by the server. */
  detectedAt: number;
  /** How it was found. */
  conflictType: 'version' | 'timestamp' | 'data';
  /** The paths that both sides changed (`owner.city`; of a list whose items merge `lines.7`); `['*']`: the whole record. */
  affectedFields: string[];
  conflictId: string;
  /** What the local side did, and the other; `constraint`: another record has what only one may have. */
  kind: 'update-update' | 'update-delete' | 'delete-update' | 'constraint';
  /** The record on which the local change was written; `null`: there was none, or nobody here knows it. */
  baseData: T | null;
  state: 'open' | 'resolved' | 'undone';
  /** `server`: another device met it. Then `baseData` is null: nobody here knows what its operation was written on. */
  origin: 'device' | 'server';
  /** What stands: `client-wins` the local side, `server-wins` the other, `merge` some of both; `discarded`, `elsewhere`. */
  resolution?: string;
  /** `rule`, or the user who decided. */
  resolvedBy?: string;
  /** In ms, by the device. */
  resolvedAt?: number;
  /** Of a `constraint`: the record that has the values of `affectedFields`, and its fields when the conflict was found. */
  other?: { id: Key; data: unknown };
  /** The entity and the record that it is about. */
  entity: string;
  recordId: Key;
  /** The version of the record that `serverData` is; absent where the server never had the record. */
  serverVersion?: string;
  /** Its life, the first step first. */
  steps: ConflictStep[];
  /** An open one that a function of `rules` is to decide. */
  asks?: 'function';
}

/** A conflict by its id, or anything that has it. */
export type ConflictRef = Pick<Conflict, 'id'> | number;

/** What happened to a conflict. */
export interface ConflictStep {
  /** `renewed`: the server's side was replaced by a newer one. `asked`: a function of `rules` left it to a person. */
  step: 'found' | 'renewed' | 'asked' | 'resolved' | 'restored' | 'undone';
  /** In ms, by the device. */
  at: number;
  /** `rule`, or the user. */
  by?: string;
  /**
   * Of `found` `invalid_record`, where what the rules had put together may not be; of `resolved` the resolution; of `undone`
   * `resolution` or `restore`, whichever it took back; of `asked` why: `manual`, `rule_failed`, `rule_late`, `rule_invalid`,
   * `rule_unsettled`, or the code with which its answer was refused.
   */
  how?: string;
  /** The operation that met the conflict, or that did this; absent where nothing had to be written. */
  operationId?: string;
  /** The fields that an undo left alone, because they were written since; `*` is the whole record. */
  kept?: string[];
}

/** Which conflicts: all that is named must hold. */
export interface ConflictFilter {
  entity?: string;
  /** By any ID that the record has or ever had. */
  record?: Key;
  kind?: Conflict['kind'];
  state?: Conflict['state'];
  /** `rule`, or a user. */
  resolvedBy?: string;
  /** Found then or later, in ms. */
  since?: number;
  /** Found then or earlier, in ms. */
  until?: number;
  /** The id of the last conflict of the page before. */
  after?: number;
  /** By the time at which they were found; `asc` (the oldest first) if not said. */
  order?: 'asc' | 'desc';
  /** At most so many. */
  limit?: number;
}

/** How many conflicts there are. What has none is left out of the maps. */
export interface ConflictStatistics {
  total: number;
  open: number;
  resolved: number;
  undone: number;
  byKind: Record<string, number>;
  byEntity: Record<string, number>;
  byResolution: Record<string, number>;
  /** When the oldest open one was found, in ms. */
  oldestOpen: number | null;
}

/** What a decision on a conflict would come to. */
export interface ConflictPreview {
  /** The conflict. */
  id: number;
  /** The fields of the record afterwards, with all that is unsent; `null`: deleted. */
  record: Record<string, unknown> | null;
  /** What would be sent; `null`: nothing, a record that the server refused to create is given up. */
  operation: { entity: string; recordId: Key; kind: OperationKind; data: unknown } | null;
}

/** What became of many conflicts. */
export interface BulkResolved {
  /** The ids of those that were decided, or of a dry run would be. */
  resolved: number[];
  failed: { id: number; error: FieldSyncError }[];
  /** Of a dry run: one for each in `resolved`. */
  previews?: ConflictPreview[];
}

/** What a restore or an undo wrote. */
export interface BroughtBack {
  /** `null`: nothing had to be written. */
  operationId: string | null;
  /** The fields that an undo left alone, because they were written since; `*` is the whole record. */
  kept: string[];
}

export type StrategyName = 'server-wins' | 'client-wins' | 'manual' | 'merge' | 'last-write-wins';

/** `merge` with `mergedData` stores exactly that, validated. */
export interface ConflictStrategy {
  type: StrategyName;
  mergedData?: unknown;
}
