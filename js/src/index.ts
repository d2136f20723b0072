/**
 * FieldSync: records that are written offline and synced when there is a network.
 *
 * Importing this does nothing, on a page or on a server. `FieldSync.open` starts everything.
 */
export { Audit } from './audit.js';
export type * from './audit-shapes.js';
export type { WasmSource } from './boundary.js';
export { FieldSync, type WipeOptions } from './client.js';
export type {
  AlertLimits,
  ChangeSign,
  EntitySchema,
  FieldRule,
  FieldShape,
  Identity,
  Lane,
  Retention,
  RuleFunction,
  Schema,
  SideRule,
  SyncConfig,
  TokenProvider,
  ValidatorFunction,
} from './config.js';
export type * from './conflict-shapes.js';
export { type BulkResolveOptions, Conflicts } from './conflicts.js';
export type { LogEntry, LogLevel, LogNamespace, LogSettings } from './diagnostics.js';
export { type ErrorCode, type ErrorDetails, FieldSyncError } from './errors.js';
export {
  applyMergePatch,
  applyPatch,
  createMergePatch,
  createPatch,
  deepEqual,
  diff,
  hashData,
  merge,
  type PatchOperation,
} from './functions.js';
export { Integrity, type QuarantineOptions } from './integrity.js';
export type * from './integrity-shapes.js';
export { type InitOptions, init, initSync } from './load.js';
export type * from './log-shapes.js';
export type * from './orphan-shapes.js';
export { type DiscardOptions, type OperationRef, Queue } from './queue.js';
export type * from './records.js';
export { type CheckOptions, RelationshipManager, type ResolveOrphansOptions } from './relationships.js';
export type * from './shapes.js';
export { persistStorage, type StorageLoss } from './storage-care.js';
export { type ResolveOptions, SyncEngine, type SyncOptions } from './sync-engine.js';
export { SyncLog } from './sync-log.js';
export { isTempId, TempIdResolver } from './temp-ids.js';
export type { FieldFunctions, FieldTransform, TransformSchema } from './transforms.js';
