/**
 * Pure functions over documents. They are the engine's own, so that an app compares and merges as FieldSync does.
 * The wasm module must be loaded.
 */
import type { WasmModule } from './boundary.js';
import { toFieldSyncError } from './errors.js';
import { toText } from './input.js';
import { loaded } from './load.js';
import type { Delta } from './shapes.js';

/** Whether two documents are the same value: 1 and 1.0 are, and the order of members does not matter. */
export function deepEqual(a: unknown, b: unknown): boolean {
  const texts = [toText(a), toText(b)] as const;
  return run((wasm) => wasm.deep_equal(...texts));
}

/** What leads from `a` to `b`. */
export function diff(a: unknown, b: unknown): Delta {
  const texts = [toText(a), toText(b)] as const;
  return JSON.parse(run((wasm) => wasm.diff(...texts)));
}

/** Three-way merge; `conflicts` names the fields that both sides changed. */
export function merge(base: unknown, local: unknown, server: unknown): { data: unknown; conflicts: string[] } {
  const texts = [toText(base), toText(local), toText(server)] as const;
  return JSON.parse(run((wasm) => wasm.merge(...texts)));
}

/** SHA-256 of the canonical form (RFC 8785), in hex. */
export function hashData(value: unknown): string {
  const text = toText(value);
  return run((wasm) => wasm.hash_data(text));
}

function run<T>(call: (wasm: WasmModule) => T): T {
  try {
    return call(loaded());
  } catch (cause) {
    throw toFieldSyncError(cause);
  }
}
