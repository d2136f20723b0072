/**
 * Sessions: send what is unsent, fetch what is new. A session ends with a result, also when it fails; it is single
 * flight over all tabs.
 */
import type { Bridge } from './bridge.js';
import { FieldSyncError } from './errors.js';
import { reportUncaught } from './events.js';
import { name, toText } from './input.js';
import type {
  Conflict,
  ConflictStrategy,
  StrategyName,
  SyncEvents,
  SyncOperation,
  SyncProgress,
  SyncReport,
  SyncResult,
  SyncStatus,
} from './shapes.js';

export interface SyncOptions {
  /** Ends the session after the request that is under way. Nothing that was done is undone. */
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: SyncProgress) => void) | undefined;
}

export class SyncEngine {
  readonly #bridge: Bridge;

  constructor(bridge: Bridge) {
    this.#bridge = bridge;
  }

  /** Sends the unfinished operations. */
  syncToServer(options?: SyncOptions): Promise<SyncResult> {
    return this.#session('up', options);
  }

  /** Fetches what changed on the server. */
  syncFromServer(options?: SyncOptions): Promise<SyncResult> {
    return this.#session('down', options);
  }

  /** Both, first up. */
  bidirectionalSync(options?: SyncOptions): Promise<SyncResult> {
    return this.#session('both', options);
  }

  /** The same as {@link bidirectionalSync}. */
  sync(options?: SyncOptions): Promise<SyncResult> {
    return this.#session('both', options);
  }

  /** Judges an operation against the last known state of the server; `refresh` asks the server first. */
  async detectConflicts(operation: SyncOperation, options: { refresh?: boolean } = {}): Promise<Conflict | null> {
    const id = name(operation?.id, 'operation.id');
    if (options.refresh) {
      const { errors } = await this.syncFromServer();
      const [error] = errors;
      if (error) throw new FieldSyncError(error.code, error.message, { retryable: error.retryable });
    }
    const text = await this.#bridge.call((engine) => engine.detect_conflicts(id));
    return text === undefined ? null : JSON.parse(text);
  }

  /** Ends an open conflict. What loses is kept and can be brought back. */
  async resolveConflict(conflict: Conflict | number, strategy: ConflictStrategy | StrategyName): Promise<void> {
    const id: unknown = typeof conflict === 'object' && conflict !== null ? conflict.id : conflict;
    if (typeof id !== 'number' || !Number.isSafeInteger(id)) {
      throw new FieldSyncError('invalid_value', 'conflict: a conflict or its id', { details: { path: 'conflict' } });
    }
    const text = toText(typeof strategy === 'string' ? { type: strategy } : strategy);
    await this.#bridge.call((engine) => engine.resolve_conflict(id, text));
  }

  /** Ends the session that is under way, if there is one. */
  abort(): void {
    this.#bridge.now((engine) => engine.abort());
  }

  status(): SyncStatus {
    return JSON.parse(this.#bridge.now((engine) => engine.status()));
  }

  /** What was done since the client was opened: transactions, requests, bytes, operations, records. */
  async report(): Promise<SyncReport> {
    return JSON.parse(await this.#bridge.call((engine) => engine.report()));
  }

  async #session(direction: 'up' | 'down' | 'both', { signal, onProgress }: SyncOptions = {}): Promise<SyncResult> {
    const progress = onProgress && ((json: string) => deliverProgress(onProgress, json));
    return JSON.parse(await this.#bridge.call((engine) => engine.sync(direction, signal, progress)));
  }
}

function deliverProgress(listener: (progress: SyncProgress) => void, json: string): void {
  try {
    const { type: _, ...progress } = JSON.parse(json) as SyncEvents['progress'];
    listener(progress);
  } catch (cause) {
    reportUncaught(cause);
  }
}
