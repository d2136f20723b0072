/**
 * The methods that were asked for: each class can be used through the signatures copied here. They are written as
 * properties, because of a method TypeScript lets the parameters narrow.
 */
import type {
  Audit,
  AuditFilter,
  AuditRow,
  AuditVerification,
  BatchResult,
  ComplianceReport,
  Conflict,
  ConflictFilter,
  ConflictPreview,
  ConflictStatistics,
  ConflictStrategy,
  Conflicts,
  Deleted,
  DependencyNode,
  EntitySyncResult,
  FieldSyncError,
  IdMapping,
  Integrity,
  IntegrityCheck,
  IntegrityProgress,
  IntegrityRepair,
  IntegrityReport,
  OrphanedEntity,
  OrphansResolved,
  PendingMapping,
  Queue,
  QueueItem,
  RelationshipManager,
  RelationshipMap,
  Saved,
  StrategyName,
  SyncConfig,
  SyncEngine,
  SyncLog,
  SyncOperation,
  SyncProgress,
  SyncReport,
  SyncResult,
  SyncStatus,
  TempIdResolver,
  ValidationResult,
} from '../src/index.js';
import {
  type applyMergePatch,
  type applyPatch,
  type createMergePatch,
  type createPatch,
  type deepEqual,
  type diff,
  FieldSync,
  type hashData,
  type isTempId,
  type merge,
  type PatchOperation,
} from '../src/index.js';
import { type Assignable, expect, type Same } from './equal.js';

type Session = (options?: {
  signal?: AbortSignal;
  onProgress?: (progress: SyncProgress) => void;
}) => Promise<SyncResult>;

type Fields = Record<string, unknown>;

// Of the client without a description of its records.
interface AskedClient {
  engine: AskedEngine;
  tempIds: AskedTempIds;
  relationships: AskedRelationships;
  queue: AskedQueue;
  conflicts: AskedConflicts;
  audit: AskedAudit;
  integrity: AskedIntegrity;
  create: (entity: string, data: Fields) => Promise<Saved<Fields>>;
  update: (entity: string, id: string | number, changes: Fields) => Promise<Saved<Fields>>;
  delete: (entity: string, id: string | number) => Promise<Deleted>;
  get: (entity: string, id: string | number) => Promise<Fields | undefined>;
  query: (entity: string, query?: { where?: Fields; orderBy?: string; limit?: number }) => Promise<Fields[]>;
  count: (entity: string, query?: { where?: Fields }) => Promise<number>;
  close: () => Promise<void>;
}

interface AskedEngine {
  syncToServer: Session;
  syncFromServer: Session;
  bidirectionalSync: Session;
  sync: Session;
  detectConflicts: (operation: SyncOperation, options?: { refresh?: boolean }) => Promise<Conflict | null>;
  // Widened: a conflict also by id, a strategy also by its bare name.
  resolveConflict: (
    conflict: Conflict | number,
    strategy: ConflictStrategy | StrategyName,
    options?: { reason?: string },
  ) => Promise<void>;
  processSyncBatch: (operations: SyncOperation[]) => Promise<BatchResult>;
  syncEntityType: (entityType: string) => Promise<EntitySyncResult>;
  pause: () => Promise<void>;
  resume: () => Promise<void>;
  abort: () => void;
  status: () => SyncStatus;
  report: () => Promise<SyncReport>;
}

interface AskedTempIds {
  generateTempId: (entityType: string) => string;
  // Widened: a real ID may be text.
  mapTempToReal: (tempId: string, realId: number | string) => Promise<void>;
  resolveTempId: (tempId: string) => Promise<number | string | null>;
  resolveDependentOperations: (mapping: IdMapping) => Promise<void>;
  updateReferences: (entityType: string, oldId: string, newId: number | string) => Promise<void>;
  isTempId: (id: string | number) => boolean;
  // Widened: what is not answered has no real ID yet.
  getPendingMappings: () => Promise<PendingMapping[]>;
}

interface AskedIntegrity {
  checkIntegrity: (options?: {
    onProgress?: (progress: IntegrityProgress) => void;
    signal?: AbortSignal;
  }) => Promise<IntegrityCheck>;
  repair: (options?: { dryRun?: boolean }) => Promise<IntegrityRepair>;
}

interface AskedRelationships {
  extractRelationships: (entityType: string, data: unknown) => RelationshipMap;
  buildDependencyGraph: (operations: SyncOperation[]) => DependencyNode[];
  topologicalSort: (nodes: DependencyNode[]) => SyncOperation[];
  findCycles: (nodes: DependencyNode[]) => { operations: string[]; fields: string[] }[];
  validateRelationships: (entity: unknown, entityType?: string) => ValidationResult;
  checkReferentialIntegrity: (options?: { limit?: number }) => Promise<IntegrityReport>;
  findOrphanedEntities: (options?: { limit?: number }) => Promise<OrphanedEntity[]>;
  // Widened: it answers with what became of each.
  resolveOrphans: (
    strategy: 'delete' | 'keep' | 'queue',
    options?: { dryRun?: boolean; reason?: string },
  ) => Promise<OrphansResolved>;
}

// Names were asked for. An operation goes by its id, or as it is listed.
interface AskedQueue {
  list: () => Promise<QueueItem[]>;
  retry: (operation: string | QueueItem | SyncOperation) => Promise<void>;
  edit: (operation: string | QueueItem | SyncOperation, changes: Record<string, unknown>) => Promise<void>;
  discard: (
    operation: string | QueueItem | SyncOperation,
    options?: { reason?: string },
  ) => Promise<{ discarded: string[] }>;
  export: () => Promise<string>;
  // A text, or the file that a person chose.
  import: (file: string | Blob) => Promise<{ imported: number; known: number }>;
}

// Names were asked for. A conflict goes by its id, or as it is listed.
interface AskedConflicts {
  list: (filter?: ConflictFilter) => Promise<Conflict[]>;
  get: (id: number) => Promise<Conflict | undefined>;
  fetch: () => Promise<{ open: number }>;
  statistics: (filter?: { entity?: string; state?: 'open' }) => Promise<ConflictStatistics>;
  history: (of: { entity: string; record: string | number }) => Promise<Conflict[]>;
  preview: (conflict: Conflict | number, strategy: ConflictStrategy | StrategyName) => Promise<ConflictPreview>;
  bulkResolve: (
    strategy: ConflictStrategy | StrategyName,
    filter?: ConflictFilter,
    options?: {
      dryRun?: boolean;
      onProgress?: (progress: { done: number; total: number }) => void;
      signal?: AbortSignal;
    },
  ) => Promise<{ resolved: number[]; failed: { id: number; error: FieldSyncError }[]; previews?: ConflictPreview[] }>;
  restore: (conflict: Conflict | number) => Promise<{ operationId: string | null }>;
  undo: (conflict: Conflict | number) => Promise<{ operationId: string | null; kept: string[] }>;
}

// Names were asked for.
interface AskedAudit {
  query: (filter?: AuditFilter) => Promise<AuditRow[]>;
  verify: (options?: {
    from?: number;
    onProgress?: (progress: { rows: number; through: number; last: number }) => void;
    signal?: AbortSignal;
  }) => Promise<AuditVerification>;
  export: (format: 'ndjson' | 'csv', filter?: AuditFilter) => AsyncIterable<string>;
  complianceReport: (limits?: {
    parkedMs?: number;
    pendingMs?: number;
    conflictMs?: number;
  }) => Promise<ComplianceReport>;
  subscribe: (name: string, sink: (rows: AuditRow[]) => Promise<void>) => () => void;
}

expect<Assignable<FieldSync, AskedClient>>(true);
expect<Assignable<Conflicts, AskedConflicts>>(true);
// Names were asked for.
interface AskedIntegrity {
  quarantine: (page?: {
    after?: { entity: string; id: string | number };
    limit?: number;
  }) => Promise<{ entity: string; id: string | number; since: number; faults: { path: string; rule: string }[] }[]>;
}

expect<Assignable<Integrity, AskedIntegrity>>(true);
// What a row of the log of sessions shows was asked for.
interface AskedLog {
  list: (filter?: { since?: number; status?: 'success' | 'partial' | 'failed'; limit?: number }) => Promise<
    {
      id: number;
      timestamp: number;
      direction: 'upload' | 'download' | 'both';
      recordsProcessed: number;
      status: 'success' | 'partial' | 'failed';
      errorMessage: string | null;
      userId: string;
      deviceId: string;
      duration: number;
      bytesUp: number;
      bytesDown: number;
    }[]
  >;
  summary: (filter?: { since?: number; until?: number }) => Promise<{ successRate: number | null }>;
}
expect<Assignable<SyncLog, AskedLog>>(true);
// What is measured and told, with limits that can be set or turned off.
interface AskedMonitoring {
  alerts: () => Promise<{ code: string; since: number; value: number; limit: number }[]>;
  metrics: () => {
    queue: { pending: number; oldestPending: number | null };
    sessions: { successRate: number | null; conflictRate: number | null };
    batches: { operations: number; bytesUp: number; build: number; send: number; apply: number }[];
  };
  diagnostics: () => { at: number; level: string; namespace: string; what: string }[];
}
expect<Assignable<FieldSync, AskedMonitoring>>(true);
expect<Assignable<{ syncLogDays: 30; conflictsDays: false }, SyncConfig['retention']>>(true);
expect<Same<Assignable<{ openDays: 30 }, SyncConfig['retention']>, false>>(true);
expect<Assignable<{ sessionsFailed: false; storageHigh: 0.7 }, SyncConfig['alerts']>>(true);
expect<Same<Assignable<{ sessionsFailed: 'many' }, SyncConfig['alerts']>, false>>(true);
expect<Assignable<{ level: 'debug'; namespaces: ['call'] }, SyncConfig['log']>>(true);
expect<Same<Assignable<{ level: 'loud' }, SyncConfig['log']>, false>>(true);
expect<Assignable<typeof FieldSync.open, (config: SyncConfig) => Promise<FieldSync>>>(true);
expect<Assignable<SyncEngine, AskedEngine>>(true);
expect<Assignable<Queue, AskedQueue>>(true);
expect<Assignable<Audit, AskedAudit>>(true);
expect<Assignable<TempIdResolver, AskedTempIds>>(true);
expect<Assignable<RelationshipManager, AskedRelationships>>(true);
expect<Assignable<IdMapping, PendingMapping>>(true);
expect<Assignable<typeof isTempId, (id: string | number) => boolean>>(true);
expect<Assignable<typeof applyPatch, (document: unknown, patch: PatchOperation[]) => unknown>>(true);
expect<Assignable<typeof createPatch, (from: unknown, to: unknown) => PatchOperation[]>>(true);
expect<Assignable<typeof applyMergePatch, (document: unknown, patch: unknown) => unknown>>(true);
expect<Assignable<typeof createMergePatch, (from: unknown, to: unknown) => unknown>>(true);
// @ts-expect-error: what is moved comes from somewhere
({ op: 'move', path: '/a' }) satisfies PatchOperation;
expect<Assignable<typeof hashData, (value: unknown) => string>>(true);
expect<Assignable<typeof deepEqual, (a: unknown, b: unknown) => boolean>>(true);
expect<Assignable<ReturnType<typeof diff>, { set: Record<string, unknown>; unset: string[] }>>(true);
expect<Assignable<ReturnType<typeof merge>, { data: unknown; conflicts: string[] }>>(true);

// A client without a description of its records takes any entity and any fields.
export async function untyped(config: SyncConfig): Promise<void> {
  const client: FieldSync = await FieldSync.open(config);
  const saved: Saved<Record<string, unknown>> = await client.create('anything', {
    a: [1, { b: null }],
    at: new Date(),
  });
  saved.record.id satisfies string | number;
  saved.record._sync.version satisfies string | null;
  expect<Assignable<typeof client.engine, AskedEngine>>(true);
  expect<Assignable<typeof client.tempIds, AskedTempIds>>(true);
  expect<Assignable<typeof client.queue, AskedQueue>>(true);
  expect<Assignable<typeof client.integrity, AskedIntegrity>>(true);
  const [first, ...others] = await client.integrity.quarantine({ limit: 2 });
  if (first) others.push(...(await client.integrity.quarantine({ after: first })));
  client.on('status', ({ pending, state }) => [pending satisfies number, state satisfies string]);
  client.on('progress', ({ phase, done, total }) => [phase satisfies string, (done / total) satisfies number]);
  (await client.wipe()).discarded satisfies number;
  await client.wipe({ force: true });
  await client.wipe({ force: true, reason: 'handed back' });
  const filter: AuditFilter = {
    entity: 'pet',
    record: 7,
    event: 'applied',
    user: 'anna',
    since: 0,
    order: 'desc',
    limit: 10,
  };
  // @ts-expect-error: a condition that vanishes would mean every row
  await client.audit.query({ operation: undefined });
  for (const row of await client.audit.query({ ...filter, after: undefined })) {
    // In the place of a row that cannot be read one says so, and nothing else but where it is.
    [row.number, row.hash, row.device, row.entries.length] satisfies (number | string)[];
    expect<Same<typeof row.at, number | undefined>>(true);
    if (row.unreadable) continue;
    [row.number, row.at, row.stamp[1]] satisfies number[];
    [row.hash, row.user, row.device, row.entries[0]?.event] satisfies (string | undefined)[];
    const { offset, entries } = row;
    [offset, entries[0]?.before, entries[0]?.after, entries[0]?.fields, entries[0]?.payload?.kind] satisfies unknown[];
  }
  const { chain, breaches, terminal, oldestParked, refused, retention } = await client.audit.complianceReport({
    parkedMs: 60_000,
    retentionMs: 60_000,
  });
  [refused?.number, retention.at, retention.audit] satisfies (number | undefined)[];
  [chain.ok, chain.firstBad?.reason, breaches, terminal.missing, oldestParked?.since] satisfies unknown[];
  expect<Assignable<typeof client.integrity, AskedIntegrity>>(true);
  const { checked, faults, found, truncated } = await client.integrity.checkIntegrity({
    onProgress: ({ done }) => done,
  });
  [checked.base, checked.unhashed, found] satisfies number[];
  for (const { code, table, entity, id } of faults) [code, table, entity ?? '', `${id}`] satisfies string[];
  const { mended, left, hashed, resync } = await client.integrity.repair({ dryRun: true });
  [mended[0]?.action, left[0]?.reason, hashed, resync, truncated] satisfies unknown[];
  // @ts-expect-error: a wish for a repair has no other members
  await client.integrity.repair({ dry: true });
  expect<Assignable<typeof client.relationships, AskedRelationships>>(true);
  const { records, references, dangling, more, unknown, ok } = await client.relationships.checkReferentialIntegrity();
  [records, references, more, unknown] satisfies number[];
  ok satisfies boolean;
  for (const { target, why, path, unsent } of dangling) {
    [target.entity, path, why satisfies 'deleted' | 'missing' | 'given-up'] satisfies string[];
    [target.id, unsent] satisfies unknown[];
  }
  // @ts-expect-error: one of three
  await client.relationships.resolveOrphans('drop');
  const { resolved, failed } = await client.relationships.resolveOrphans('queue', { dryRun: true });
  for (const { action, operations } of resolved) {
    action satisfies 'deleted' | 'discarded' | 'kept' | 'queued';
    for (const operation of operations) await client.queue.edit(operation, { petId: 7 });
  }
  failed[0]?.error.code satisfies string | undefined;
  // @ts-expect-error: an instance comes from open
  new FieldSync();
}
