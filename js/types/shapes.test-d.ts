/**
 * The shapes that were asked for, copied, against those that the package exports. Where a type was widened, the
 * widening is listed here and only what an app relies on is asserted: results of ours still serve the asked shape.
 */
import type {
  BatchResult,
  Conflict,
  ConflictFilter,
  ConflictPreview,
  ConflictRef,
  ConflictStep,
  ConflictStrategy,
  EntitySyncResult,
  IdMapping,
  OperationResult,
  QueueItem,
  RelationshipMap,
  SyncOperation,
  SyncProgress,
  SyncResult,
  SyncStatusName,
} from '../src/index.js';
import { type Assignable, expect, type Same } from './equal.js';

namespace Asked {
  export type SyncStatusName = 'idle' | 'syncing' | 'success' | 'error';
  export interface SyncResult {
    success: boolean;
    synced: number;
    failed: number;
    conflicts: number;
    operations: SyncOperation[];
    errors: { code: string; message: string }[];
    duration: number;
  }
  export interface OperationResult {
    offlineId?: string;
    serverId: string | number;
    status: 'success' | 'conflict' | 'failed';
    message?: string;
  }
  export interface BatchResult {
    results: (Omit<OperationResult, 'serverId'> & { serverId: string | number | null })[];
    synced: number;
    failed: number;
    conflicts: number;
    idMappings: IdMapping[];
    duration: number;
  }
  export type EntitySyncResult = SyncResult & { entityType: string; downloaded: number };
  export interface Conflict {
    id: number;
    operation: SyncOperation;
    localData: unknown;
    serverData: unknown;
    detectedAt: number;
    conflictType: 'version' | 'timestamp' | 'data';
    affectedFields: string[];
    conflictId: string;
    kind: 'update-update' | 'update-delete' | 'delete-update' | 'constraint';
    baseData: unknown;
    state: 'open' | 'resolved' | 'undone';
    // Widened: where it was met.
    origin: 'device' | 'server';
    resolution?: string;
    resolvedBy?: string;
    resolvedAt?: number;
  }
  export interface ConflictStrategy {
    type: 'server-wins' | 'client-wins' | 'manual' | 'merge' | 'last-write-wins';
    mergedData?: unknown;
  }
  export interface IdMapping {
    tempId: string;
    realId: number | string;
    entityType: string;
    createdAt: number;
    syncedAt: number;
  }
  export interface SyncProgress {
    phase: 'initialize' | 'upload' | 'download' | 'finalize';
    done: number;
    total: number;
    bytes: number;
    entityType?: string;
  }
  export type RelationshipMap = Record<string, number | string | (number | string)[] | undefined>;
}

expect<Same<SyncStatusName, Asked.SyncStatusName>>(true);
// Widened: a create that was refused has no ID at the server.
expect<Assignable<Asked.OperationResult, OperationResult>>(true);
expect<Assignable<Omit<OperationResult, 'serverId'>, Omit<Asked.OperationResult, 'serverId'>>>(true);
expect<Same<NonNullable<OperationResult['serverId']>, Asked.OperationResult['serverId']>>(true);
// A result of a batch says more: why it stopped early.
expect<Assignable<BatchResult, Asked.BatchResult>>(true);
expect<Assignable<EntitySyncResult, Asked.EntitySyncResult>>(true);
// A conflict says more: whose it is, and its life. One as it was asked for says enough where a conflict is taken.
expect<Same<Omit<Conflict, 'entity' | 'recordId' | 'steps'>, Asked.Conflict>>(true);
expect<Assignable<Conflict, Asked.Conflict>>(true);
expect<Assignable<Asked.Conflict, ConflictRef>>(true);
expect<Assignable<'entity' | 'recordId' | 'serverVersion' | 'steps' | 'other' | 'asks', keyof Conflict>>(true);
expect<Same<NonNullable<Conflict['other']>['id'], string | number>>(true);
// A preview of a record that is given up sends nothing.
expect<Assignable<null, ConflictPreview['operation']>>(true);
expect<Same<ConflictStep['step'], 'found' | 'renewed' | 'asked' | 'resolved' | 'restored' | 'undone'>>(true);
expect<Same<ConflictStrategy, Asked.ConflictStrategy>>(true);
expect<Same<IdMapping, Asked.IdMapping>>(true);
expect<Same<SyncProgress, Asked.SyncProgress>>(true);
expect<Same<RelationshipMap, Asked.RelationshipMap>>(true);
expect<Assignable<keyof Asked.SyncResult, keyof SyncResult>>(true);
// A result says more: how many records came, which way; an error whether it is tried again.
expect<Assignable<SyncResult, Asked.SyncResult>>(true);
// Records and operations show these three.
expect<Assignable<'version' | 'serverVersion' | 'lastModified', keyof SyncOperation>>(true);

// The queue shows these of each item.
expect<Assignable<'lane' | 'entity' | 'recordId' | 'payload' | 'state' | 'attempts' | 'createdAt', keyof QueueItem>>(
  true,
);

// @ts-expect-error: no such state
({ state: 'done' }) satisfies ConflictFilter;
// @ts-expect-error: a condition that is undefined would match more
({ state: undefined }) satisfies ConflictFilter;
// @ts-expect-error: no such strategy
({ type: 'theirs' }) satisfies ConflictStrategy;
// @ts-expect-error: 'done' is no status
'done' satisfies SyncStatusName;
