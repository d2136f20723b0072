/**
 * The conflicts that this device met, and the open ones of other devices that the server told of: found, looked at,
 * decided, brought back. What loses is kept in it; an open one never goes, a decided one when it is old (`retention.conflictsDays`).
 */
import type { Bridge } from './bridge.js';
import type {
  BroughtBack,
  BulkResolved,
  Conflict,
  ConflictFilter,
  ConflictPreview,
  ConflictRef,
  ConflictStatistics,
  ConflictStrategy,
  StrategyName,
} from './conflict-shapes.js';
import { FieldSyncError, toFieldSyncError } from './errors.js';
import { conflictIdOf, filterText, idText, name, optionsOf, reasonText, strategyText } from './input.js';
import type { AnyRecords, EntityOf, Key } from './records.js';
import type { SyncError } from './shapes.js';

export interface BulkResolveOptions {
  /** Decides nothing, and shows what each decision would come to. */
  dryRun?: boolean | undefined;
  /** Told after each hundred. */
  onProgress?: ((progress: { done: number; total: number }) => void) | undefined;
  /** Ends it after the hundred that is under way. What was decided stays decided. */
  signal?: AbortSignal | undefined;
  /** Why, for the audit trail. */
  reason?: string | undefined;
}

export interface TakeBackOptions {
  /** Why, for the audit trail: at most 1,000 characters. */
  reason?: string | undefined;
}

/** What the engine says of a part of many. */
interface Part {
  resolved: number[];
  failed: { id: number; error: unknown }[];
  previews: ConflictPreview[];
  after: number | null;
}

export class Conflicts<R = AnyRecords> {
  readonly #bridge: Bridge;

  constructor(bridge: Bridge) {
    this.#bridge = bridge;
  }

  /**
   * The conflicts that match, all of them without a filter, the oldest first. Fails with `invalid_value` and the `path` of
   * a member that makes no sense; one that is `undefined` is refused, because it would match more.
   */
  list<E extends EntityOf<R>>(filter: ConflictFilter & { entity: E }): Promise<Conflict<R[E]>[]>;
  list(filter?: ConflictFilter): Promise<Conflict[]>;
  async list(filter: ConflictFilter = {}): Promise<Conflict[]> {
    return this.#bridge.call('conflicts', filterText(filter));
  }

  /** The conflict of this id. */
  async get(id: number): Promise<Conflict | undefined> {
    const found: Conflict | null = await this.#bridge.call('conflict', conflictIdOf(id));
    return found ?? undefined;
  }

  /** How many conflicts match. */
  async statistics(filter: Omit<ConflictFilter, 'after' | 'order' | 'limit'> = {}): Promise<ConflictStatistics> {
    return this.#bridge.call('countConflicts', filterText(filter));
  }

  /**
   * Fetches the open conflicts that other devices of the user met; with a token that has the role `coordinator`, those of
   * everybody in the tenant. `list` shows them with the origin `server`, and what was decided elsewhere meanwhile as
   * resolved. Gives how many the server told of. Needs the network: rejects with the codes of a session. A session fetches
   * them by itself where the server says that there are some.
   */
  async fetch(): Promise<{ open: number }> {
    const told: { open: number; errors: SyncError[] } = await this.#bridge.call('fetchConflicts');
    const [error] = told.errors;
    if (error) throw new FieldSyncError(error.code, error.message, { retryable: error.retryable });
    return { open: told.open };
  }

  /** A record's conflicts, the oldest first, each with its steps. */
  history<E extends EntityOf<R>>(of: { entity: E; record: Key }): Promise<Conflict<R[E]>[]>;
  history(of: { entity: string; record: Key }): Promise<Conflict[]>;
  async history(of: { entity: string; record: Key }): Promise<Conflict[]> {
    const { entity, record } = optionsOf(of, { entity: 'other', record: 'other' });
    idText(record, 'record');
    return this.list({ entity: name(entity, 'entity'), record });
  }

  /**
   * What `resolveConflict` would come to: the record, and what would be sent. Nothing is stored. Fails with
   * `unknown_conflict` if it is not open, with `invalid_value` or `invalid_reference` if the strategy makes no sense, and as
   * `resolveConflict` does.
   */
  async preview(conflict: ConflictRef, strategy: ConflictStrategy | StrategyName): Promise<ConflictPreview> {
    return this.#bridge.call('previewConflict', conflictIdOf(conflict), strategyText(strategy));
  }

  /**
   * Decides every open conflict that matches, a hundred in one transaction. What cannot be decided so is told in `failed`,
   * with the code that `resolveConflict` would fail with, and the others are decided all the same. Fails with
   * `invalid_value` for `mergedData`, which is one record's content.
   */
  async bulkResolve(
    strategy: ConflictStrategy | StrategyName,
    filter: ConflictFilter = {},
    options?: BulkResolveOptions,
  ): Promise<BulkResolved> {
    const {
      dryRun = false,
      onProgress,
      signal,
      reason,
    } = optionsOf(options, { dryRun: 'boolean', onProgress: 'function', signal: 'signal', reason: 'other' });
    const how = strategyText(strategy, reason);
    filterText(filter);
    const { after: _, order: __, limit = Number.POSITIVE_INFINITY, ...which } = filter;
    const { state: _state, ...rest } = which;
    // Without another condition than time, none of them is read to be counted.
    const ofAll = Object.keys(rest).every((member) => member === 'since' || member === 'until');
    const counted: ConflictFilter = ofAll ? rest : { ...rest, state: 'open' };
    const total = onProgress ? Math.min((await this.statistics(counted)).open, limit) : 0;
    const [resolved, failed, previews]: [number[], BulkResolved['failed'], ConflictPreview[]] = [[], [], []];
    const dry = dryRun ? (['dry'] as const) : [];
    let next: ConflictFilter | undefined = filter;
    while (next && !signal?.aborted) {
      const part: Part = await this.#bridge.call('resolveConflicts', how, filterText(next), ...dry);
      resolved.push(...part.resolved);
      failed.push(...part.failed.map(({ id, error }) => ({ id, error: toFieldSyncError(error) })));
      previews.push(...part.previews);
      const done = resolved.length + failed.length;
      if (part.after !== null) onProgress?.({ done, total });
      const isOver = part.after === null || done >= limit;
      next = isOver
        ? undefined
        : { ...filter, after: part.after as number, ...(filter.limit && { limit: limit - done }) };
    }
    return { resolved, failed, ...(dryRun && { previews }) };
  }

  /**
   * Brings back what lost, written on the record as it is now: its values of `affectedFields` and what was given up beside
   * them, or the whole record. The server judges that as any change. Fails with `unknown_conflict`, with
   * `nothing_to_restore` if it is open, what lost is back already, or nothing is known that lost, and as a write does.
   */
  async restore(conflict: ConflictRef, options?: TakeBackOptions): Promise<BroughtBack> {
    const { reason } = optionsOf(options, { reason: 'other' });
    return this.#bridge.call('restoreConflict', conflictIdOf(conflict), reasonText(reason));
  }

  /**
   * Takes the last step back, the resolution or a restore, by a change of what that step wrote. What was written since
   * stays, and is named. Fails with `unknown_conflict`, with `nothing_to_undo` if it is open or its last step was an undo,
   * and as a write does.
   */
  async undo(conflict: ConflictRef, options?: TakeBackOptions): Promise<BroughtBack> {
    const { reason } = optionsOf(options, { reason: 'other' });
    return this.#bridge.call('undoConflict', conflictIdOf(conflict), reasonText(reason));
  }
}
