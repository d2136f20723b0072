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

/** What leads from one object to the other; lists are set whole. Fails with `invalid_value` where one is no object. */
export function diff(a: unknown, b: unknown): Required<Pick<Delta, 'set' | 'unset'>> {
  return compute('diff', toText(a), toText(b));
}

/**
 * Three-way merge of objects: what one side changed is as that side has it. `conflicts` names the fields that both sides
 * changed; they keep the server's value. Fails with `invalid_value` where one is no object.
 */
export function merge<T = unknown>(base: unknown, local: unknown, server: unknown): { data: T; conflicts: string[] } {
  return compute('merge', toText(base), toText(local), toText(server));
}

/** SHA-256 of the canonical form (RFC 8785), in hex. */
export function hashData(value: unknown): string {
  return compute('hashData', toText(value));
}

/** One operation of a JSON Patch (RFC 6902). Places are JSON Pointers (RFC 6901): `/owner/name`, `/lines/0`. */
export type PatchOperation =
  | { op: 'add' | 'replace' | 'test'; path: string; value: unknown }
  | { op: 'remove'; path: string }
  | { op: 'move' | 'copy'; path: string; from: string };

/**
 * The document that a JSON Patch (RFC 6902) makes of another. Fails with `patch_failed` where an operation does not fit: then
 * nothing of it is done.
 */
export function applyPatch(document: unknown, patch: readonly PatchOperation[]): unknown {
  return compute('applyPatch', toText(document), toText(patch));
}

/** A JSON Patch that leads from one document to the other. */
export function createPatch(from: unknown, to: unknown): PatchOperation[] {
  return compute('createPatch', toText(from), toText(to));
}

/** The document that a JSON Merge Patch (RFC 7396) makes of another: a member that is null takes the field away. */
export function applyMergePatch(document: unknown, patch: unknown): unknown {
  return compute('applyMergePatch', toText(document), toText(patch));
}

/**
 * A JSON Merge Patch that leads from one document to the other. Fails with `patch_failed` where a field would have to be set
 * to null: there is no such patch.
 */
export function createMergePatch(from: unknown, to: unknown): unknown {
  return compute('createMergePatch', toText(from), toText(to));
}

function compute<T, F extends keyof Computed = keyof Computed>(name: F, ...args: Computed[F]): T {
  try {
    return JSON.parse(loaded().module.compute(name, ...args));
  } catch (cause) {
    throw toFieldSyncError(cause);
  }
}
