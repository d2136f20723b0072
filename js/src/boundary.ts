/**
 * The boundary: what the wasm module exports and what it calls.
 *
 * Written by hand, and used instead of the declarations that wasm-bindgen generates, because the agreement is
 * narrower than what those can say: documents cross as JSON text, and an async method rejects with an
 * {@link EngineFault}. Nothing outside `js/src` sees these types.
 */

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
  /**
   * One {@link EngineEvent}, as JSON text. Called outside every borrow, so a listener may call the engine again.
   */
  event(json: string): void;
}

/** An event as the engine tells it: a status stands in a member of its own. */
export type EngineEvent = Exclude<SyncEvent, { type: 'status' }> | { type: 'status'; status: SyncStatus };

/** One engine: one tenant and user, one IndexedDB database, one context. */
export interface Engine {
  create(entity: string, data: string): Promise<string>;
  update(entity: string, id: string, changes: string): Promise<string>;
  delete(entity: string, id: string): Promise<string>;
  get(entity: string, id: string): Promise<string | undefined>;
  query(entity: string, query: string): Promise<string>;
  count(entity: string, query: string): Promise<number>;
  synced(operationId: string): Promise<string>;
  sync(direction: 'up' | 'down' | 'both', signal?: AbortSignal, onProgress?: (json: string) => void): Promise<string>;
  abort(): void;
  set_offline(offline: boolean): void;
  status(): string;
  queue(): Promise<string>;
  conflicts(): Promise<string>;
  detect_conflicts(operationId: string): Promise<string | undefined>;
  resolve_conflict(id: number, strategy: string): Promise<void>;
  resolve_temp_id(tempId: string): Promise<string | undefined>;
  pending_mappings(): Promise<string>;
  map_temp_to_real(tempId: string, realId: string): Promise<void>;
  update_references(entity: string, oldId: string, newId: string): Promise<void>;
  generate_temp_id(entity: string): string;
  extract_relationships(entity: string, data: string): string;
  build_dependency_graph(operations: string): string;
  topological_sort(nodes: string): string;
  find_cycles(nodes: string): string;
  validate_relationships(entity: string, data: string): string;
  report(): Promise<string>;
  close(): Promise<void>;
}

/** The exports of the module, once it is instantiated. */
export interface WasmModule {
  Engine: { open(config: string, hooks: EngineHooks): Promise<Engine> };
  deep_equal(a: string, b: string): boolean;
  diff(a: string, b: string): string;
  merge(base: string, local: string, server: string): string;
  hash_data(text: string): string;
}

/** From what the module can be instantiated. */
export type WasmSource = string | URL | Request | Response | BufferSource | WebAssembly.Module;
