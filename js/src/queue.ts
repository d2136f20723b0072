/**
 * The queue: every unfinished operation, and what a person can do with it. Nothing leaves it but by the server's answer,
 * one of these calls, `resolveConflict`, `wipe`, a later write that it becomes part of or that annuls it, or a page that
 * shows that nothing of it is left to send. The audit trail keeps each.
 */
import type { Bridge } from './bridge.js';
import { FieldSyncError } from './errors.js';
import { changesText, operationIdOf, optionsOf, reasonText } from './input.js';
import type { QueueItem, SyncOperation } from './shapes.js';

/** An operation, as it is listed or by its id. */
export type OperationRef = string | Pick<QueueItem, 'operationId'> | Pick<SyncOperation, 'id'>;

export interface DiscardOptions {
  /** Why, for the audit trail: at most 1,000 characters. */
  reason?: string | undefined;
}

export class Queue {
  readonly #bridge: Bridge;

  constructor(bridge: Bridge) {
    this.#bridge = bridge;
  }

  /** The unfinished operations, each with its state and the reason why it waits. */
  list(): Promise<QueueItem[]> {
    return this.#bridge.call('queue');
  }

  /**
   * Sends a parked operation again. A new one stands in its place, and new ones in the places of its group. Where no server
   * has refused it, but something on the way would not let it through (`too_large`), the same goes again: the server may
   * have it from an earlier time.
   */
  async retry(operation: OperationRef): Promise<void> {
    await this.#bridge.call('retry', operationIdOf(operation));
  }

  /** Sends a parked operation again with other values; `undefined` takes a field away. What is not named stays. */
  async edit(operation: OperationRef, changes: Record<string, unknown>): Promise<void> {
    await this.#bridge.call('edit', operationIdOf(operation), changesText(changes));
  }

  /**
   * Gives an operation up, with its group and all that depends on it. Fails with `sealed` for what the server may have
   * and has not refused, with `in_conflict` for what waits for `resolveConflict`, with `reason_required` where the settings
   * want a `reason` and there is none.
   */
  async discard(operation: OperationRef, options?: DiscardOptions): Promise<{ discarded: string[] }> {
    const { reason } = optionsOf(options, { reason: 'other' });
    return this.#bridge.call('discard', operationIdOf(operation), reasonText(reason));
  }

  /**
   * Everything unsent, as the text of a file. It stays queued here too: whichever device sends it first, it counts once.
   * From then on these operations count as sent: while one is pending, `discard` refuses it (`sealed`), because the other
   * device may have sent it.
   */
  export(): Promise<string> {
    return this.#bridge.text('export');
  }

  /**
   * Reads a file of unsent work of the same tenant and user. `known`: operations that were here already. What was given
   * up here, or went with a wipe, comes again. Takes nothing and fails with `identity_mismatch` for a file of another
   * tenant or user, `invalid_file` or `invalid_value` for what is no such file, `outdated` where it holds new work of an
   * entity that this release does not declare.
   */
  async import(file: string | Blob): Promise<{ imported: number; known: number }> {
    const text: unknown = typeof file === 'string' ? file : await file?.text?.();
    if (typeof text !== 'string') {
      throw new FieldSyncError('invalid_value', 'file: its text, or the file itself', { details: { path: 'file' } });
    }
    return this.#bridge.call('import', text);
  }
}
