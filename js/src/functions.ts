/**
 * Pure functions over documents. They are the engine's own, so that an app compares and merges as FieldSync does.
 * The wasm module must be loaded.
 */
import type { Computed } from './boundary.js';
import { toFieldSyncError } from './errors.js';
import { toText } from './input.js';
import { loaded } from './load.js';
import type { Delta } from './shapes.js';

/** Whether two documents are the same value: 1 and 1.0 are, and the order of members does not matter. */
export function deepEqual(a: unknown, b: unknown): boolean {
  return compute('deepEqual', toText(a), toText(b));
}

/** What leads from `a` to `b`. */
export function diff(a: unknown, b: unknown): Delta {
  return compute('diff', toText(a), toText(b));
}

/** Three-way merge; `conflicts` names the fields that both sides changed. */
export function merge(base: unknown, local: unknown, server: unknown): { data: unknown; conflicts: string[] } {
  return compute('merge', toText(base), toText(local), toText(server));
}

/** SHA-256 of the canonical form (RFC 8785), in hex. */
export function hashData(value: unknown): string {
  return compute('hashData', toText(value));
}

function compute<T, F extends keyof Computed = keyof Computed>(name: F, ...args: Computed[F]): T {
  try {
    return JSON.parse(loaded().module.compute(name, ...args));
  } catch (cause) {
    throw toFieldSyncError(cause);
  }
}
