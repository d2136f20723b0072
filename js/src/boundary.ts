/**
 * The boundary: what the wasm module exports and what it calls.
 *
 * Written by hand, and used instead of the declarations that wasm-bindgen generates, because the agreement is
 * narrower than what those can say: documents cross as JSON text, and an async method rejects with an
 * {@link EngineFault}. Nothing outside `js/src` sees these types.
 */

import type { AuditVerification } from './audit-shapes.js';
import type { IntegrityCheck, IntegrityFault, IntegrityProgress } from './integrity-shapes.js';
import type { SyncEvent, SyncStatus } from './shapes.js';

/** What a rejected method carries. Never a bare string. */
export interface EngineFault {
  code: string;
  message: string;
  retryable: boolean;
  details?: unknown;
}

/** What the engine calls in the app. */
export interface EngineHooks {
  /** A bearer token for this tenant and user, or `null` for "not now". `refresh`: the last one was refused. */
  token(tenant: string, user: string, refresh: boolean): Promise<string | null>;
  /** What a function of the app says of this JSON text, as JSON text. Rejects where it failed. */
  ask(sort: FunctionSort, entity: string, about: string): Promise<string>;
  /**
   * One {@link EngineEvent}, as JSON text. Called outside every borrow, so a listener may call the engine again.
   */
  event(json: string): void;
}

/** A sort of functions that an app brings: each entity has one of each at most. */
export type FunctionSort = 'rule' | 'validator' | 'transform';

/** An event as the engine tells it: a status stands in a member of its own. */
export type EngineEvent = Exclude<SyncEvent, { type: 'status' }> | { type: 'status'; status: SyncStatus };

/** What a method of the engine takes; all are texts, those of documents are JSON. The answer is always JSON. */
export interface Later {
  create: [entity: string, data: string];
  update: [entity: string, id: string, changes: string];
  delete: [entity: string, id: string];
  transaction: [writes: string];
  get: [entity: string, id: string];
  query: [entity: string, query: string];
  count: [entity: string, query: string];
  synced: [operationId: string];
  queue: [];
  retry: [operationId: string];
  edit: [operationId: string, changes: string];
  discard: [operationId: string, reason: string];
  import: [file: string];
  wipe: [force: 'force' | '', reason: string];
  pause: [];
  resume: [];
  conflicts: [filter: string];
  conflict: [id: string];
  countConflicts: [filter: string];
  previewConflict: [id: string, strategy: string];
  resolveConflicts: [strategy: string, filter: string, dry?: 'dry'];
  restoreConflict: [id: string, reason: string];
  undoConflict: [id: string, reason: string];
  fetchConflicts: [];
  detectConflicts: [operationId: string];
  resolveConflict: [id: string, strategy: string];
  resolveTempId: [tempId: string];
  pendingMappings: [];
  mapTempToReal: [tempId: string, realId: string];
  updateReferences: [entity: string, oldId: string, newId: string];
  checkReferences: [options: string];
  resolveOrphans: [strategy: string, options: string];
  quarantine: [options: string];
  /** Takes `{}` or the `position` of its last answer, an {@link IntegrityStep}. */
  checkIntegrity: [position: string];
  repair: [options: string];
  report: [];
  syncLog: [filter: string];
  syncSummary: [filter: string];
  alerts: [];
  close: [];
  /** With `ndjson` or `csv` it answers with an {@link AuditPiece}; `more`: another piece of the same came before. */
  auditQuery: [format: '' | 'ndjson' | 'csv', filter: string, more?: 'more'];
  /** Takes `{from, server}` or its last answer, an {@link AuditStep}. */
  auditVerify: [position: string];
  /** Answers with the number up to which the sink has taken all. */
  auditTaken: [sink: string, through: string];
  auditReport: [limits: string];
  /** The only one that answers with a text of its own: that of the file. */
  export: [];
}

/** How far a verification is. */
export interface AuditStep {
  result: AuditVerification;
  /** The number of the last row that there is. */
  last: number;
  done: boolean;
}

/** How far a check of the rows is. */
export interface IntegrityStep {
  position: unknown;
  progress: IntegrityProgress;
  /** What this part found. */
  faults: IntegrityFault[];
  /** What all parts came to; null before the end. */
  result: Omit<IntegrityCheck, 'faults'> | null;
}

/** A piece of the trail as text, and what the filter of the next one says instead. */
export interface AuditPiece {
  text: string;
  next: { after: number; limit?: number } | null;
}

/** The same for methods that answer at once. */
export interface AtOnce {
  status: [];
  abort: [];
  setOffline: [offline: 'true' | 'false'];
  metrics: [];
  /** In bytes. */
  storage: [used: string, allowed: string];
  generateTempId: [entity: string];
  extractRelationships: [entity: string, data: string];
  validateRelationships: [entity: string, data: string];
  buildDependencyGraph: [operations: string];
  topologicalSort: [nodes: string];
  findCycles: [nodes: string];
}

/** The same for functions that need no engine. */
export interface Computed {
  deepEqual: [a: string, b: string];
  diff: [a: string, b: string];
  merge: [base: string, local: string, server: string];
  hashData: [value: string];
  applyPatch: [document: string, patch: string];
  createPatch: [from: string, to: string];
  applyMergePatch: [document: string, patch: string];
  createMergePatch: [from: string, to: string];
}

/** Which way a session goes. */
export type Direction = 'up' | 'down' | 'both';

/** One engine: one tenant and user, one IndexedDB database, one context. */
export interface Engine {
  call<M extends keyof Later>(method: M, ...args: Later[M]): Promise<string>;
  now<M extends keyof AtOnce>(method: M, ...args: AtOnce[M]): string;
  /** `operations` is a list of ids as JSON text; nothing means all. */
  sync(direction: Direction, entity?: string, operations?: string, signal?: AbortSignal): Promise<string>;
}

/** The exports of the module, once it is instantiated. */
export interface WasmModule {
  Engine: { open(config: string, hooks: EngineHooks): Promise<Engine> };
  compute<F extends keyof Computed>(name: F, ...args: Computed[F]): string;
}

/** Gets what was instantiated, and gives what the glue then calls. */
export type Guard = (exports: WebAssembly.Exports, module: WebAssembly.Module) => WebAssembly.Exports;

/** The glue of one instance. */
export interface Glue extends WasmModule {
  init(options: { module_or_path: WasmSource | Promise<WasmSource> }): Promise<unknown>;
  initSync(options: { module: BufferSource | WebAssembly.Module }): unknown;
}

/** From what the module can be instantiated. */
export type WasmSource = string | URL | Request | Response | BufferSource | WebAssembly.Module;
