/**
 * Sessions: send what is unsent, fetch what is new. A session ends with a result, also when it fails; it is single
 * flight over all tabs.
 */
import type { Direction } from './boundary.js';
import type { Bridge } from './bridge.js';
import type { Conflict, ConflictRef, ConflictStrategy, StrategyName } from './conflict-shapes.js';
import { FieldSyncError } from './errors.js';
import type { Events } from './events.js';
import { conflictIdOf, listOf, name, operationIdOf, optionsOf, strategyText } from './input.js';
import type { OperationRef } from './queue.js';
import type {
  BatchResult,
  EntitySyncResult,
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

export interface ResolveOptions {
  /** Why, for the audit trail: at most 1,000 characters. */
  reason?: string | undefined;
}

export class SyncEngine {
  readonly #bridge: Bridge;
  readonly #events: Events;

  constructor(bridge: Bridge, events: Events) {
    this.#bridge = bridge;
    this.#events = events;
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

  /** Sends what is unsent of one entity, with the operations that it needs, and fetches its changes alone. */
  async syncEntityType(entityType: string, options?: SyncOptions): Promise<EntitySyncResult> {
    const result = await this.#session('both', options, name(entityType, 'entityType'));
    // A session that was shared with somebody who wanted another part was about everything, and does not name one.
    return { downloaded: 0, ...result, entityType };
  }

  /** Sends these operations of the queue, with the unsent ones that they need, and nothing else. */
  async processSyncBatch(operations: SyncOperation[], options?: SyncOptions): Promise<BatchResult> {
    const ids = listOf(operations, 'operations').map(operationIdOf);
    // To the engine a list without a name means all; here it means none.
    if (ids.length === 0) {
      return { results: [], synced: 0, failed: 0, conflicts: 0, idMappings: [], duration: 0, errors: [] };
    }
    const sent = await this.#session('up', options, undefined, ids);
    const { results = [], synced, failed, conflicts, idMappings = [], duration, errors } = sent;
    return { results, synced, failed, conflicts, idMappings, duration, errors };
  }

  /** Ends the session that runs, in whichever tab, and starts none until `resume`, also after a reload. Saving goes on. */
  async pause(): Promise<void> {
    await this.#bridge.call('pause');
  }

  /** Ends a pause. */
  async resume(): Promise<void> {
    await this.#bridge.call('resume');
  }

  /**
   * The open conflict that an operation of the queue is in: every download judges what is unsent against the state that the
   * server tells, and `refresh` downloads first. `null`: nothing stands against it by what is known here, or it is over.
   */
  async detectConflicts(
    operation: OperationRef,
    options?: { refresh?: boolean | undefined },
  ): Promise<Conflict | null> {
    const id = operationIdOf(operation);
    const { refresh } = optionsOf(options, { refresh: 'boolean' });
    if (refresh) {
      const { errors } = await this.syncFromServer();
      const [error] = errors;
      if (error) throw new FieldSyncError(error.code, error.message, { retryable: error.retryable });
    }
    return this.#bridge.call('detectConflicts', id);
  }

  /**
   * Ends an open conflict. What loses is kept and can be brought back (`conflicts.restore`). Fails with `reason_required`
   * where the settings want a `reason` and there is none; with `invalid_record` where the record would not be as it may be; with
   * `validator_failed`, `validator_unsettled` or `transform_failed` where the app's functions do not answer as they should or the
   * record changes under them; of a `constraint` with `unique_violation` where another record has the merged values, and with
   * `has_dependents` where something else that is unsent needs the record to be given up.
   */
  async resolveConflict(
    conflict: ConflictRef,
    strategy: ConflictStrategy | StrategyName,
    options?: ResolveOptions,
  ): Promise<void> {
    const { reason } = optionsOf(options, { reason: 'other' });
    await this.#bridge.call('resolveConflict', conflictIdOf(conflict), strategyText(strategy, reason));
  }

  /** Ends the session that is under way, if there is one. */
  abort(): void {
    this.#bridge.now('abort');
  }

  status(): SyncStatus {
    return this.#bridge.now('status');
  }

  /** What was done since the client was opened: transactions, requests, bytes, operations, records. */
  async report(): Promise<SyncReport> {
    return this.#bridge.call('report');
  }

  async #session(
    direction: Direction,
    options?: SyncOptions,
    entity?: string,
    operations?: string[],
  ): Promise<SyncResult> {
    const { signal, onProgress } = optionsOf(options, { signal: 'signal', onProgress: 'function' });
    const stop = onProgress && this.#events.on('progress', ({ type: _, ...progress }) => onProgress(progress));
    try {
      return await this.#bridge.sync(direction, entity, operations && JSON.stringify(operations), signal);
    } finally {
      stop?.();
    }
  }
}
