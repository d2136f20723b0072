/**
 * The one error that leaves the package.
 *
 * An error is born in Rust as a plain `{code, message, retryable, details}`, or here when input never reaches Rust.
 * Callers decide by `code` and `retryable`; messages are for people and are never parsed.
 */

import type { RecordFault } from './shapes.js';

/** Codes that this version raises. More may come, so that a `switch` needs a default branch. */
export type ErrorCode =
  // input
  | 'unknown_entity'
  | 'unknown_record'
  | 'invalid_value'
  | 'invalid_record'
  | 'validator_failed'
  | 'validator_unsettled'
  | 'transform_failed'
  | 'invalid_reference'
  | 'reference_deleted'
  | 'has_dependents'
  | 'already_exists'
  | 'unique_violation'
  | 'too_large'
  | 'too_deep'
  | 'invalid_schema'
  | 'invalid_query'
  | 'bad_setting'
  | 'dependency_cycle'
  | 'patch_failed'
  | 'unknown_conflict'
  | 'nothing_to_restore'
  | 'nothing_to_undo'
  | 'unknown_operation'
  | 'mapping_conflict'
  | 'unfinished'
  | 'not_parked'
  | 'not_queued'
  | 'sealed'
  | 'in_conflict'
  | 'in_transaction'
  | 'invalid_file'
  | 'unsent_work'
  | 'reason_required'
  // storage
  | 'storage_full'
  | 'storage_unavailable'
  | 'storage_blocked'
  | 'storage_aborted'
  | 'storage_contract'
  | 'outdated'
  | 'closed'
  // network and server
  | 'network'
  | 'garbled'
  | 'timeout'
  | 'aborted'
  | 'paused'
  | 'auth_required'
  | 'identity_mismatch'
  | 'forbidden'
  | 'invalid_request'
  | 'protocol'
  | 'upgrade_required'
  | 'rate_limited'
  | 'epoch_changed'
  | 'checkpoint_expired'
  | 'server'
  | 'audit_refused'
  | 'integrity'
  // the wasm instance
  | 'not_initialized'
  | 'no_browser'
  | 'instance_dead'
  | 'internal';

/** What a failure carries besides its code: always a `path` where one field is to blame. */
export interface ErrorDetails {
  /** What is to blame: a JSON Pointer into a document, or the name of a reference, a setting, an argument. */
  path?: string;
  /** Of `invalid_record`: every field that is not as it may be. */
  faults?: RecordFault[];
  [name: string]: unknown;
}

/** Every failure of FieldSync that reaches the app. */
export class FieldSyncError extends Error {
  override readonly name = 'FieldSyncError';
  /** What went wrong, stable over versions. */
  readonly code: ErrorCode | (string & {});
  /** Whether the same call can succeed later, unchanged. */
  readonly retryable: boolean;
  readonly details: ErrorDetails;

  constructor(
    code: ErrorCode | (string & {}),
    message: string,
    options: { retryable?: boolean; details?: ErrorDetails; cause?: unknown } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.details = options.details ?? {};
  }
}

/** The error for a setting that makes no sense. */
export function badSetting(path: string, message: string): FieldSyncError {
  return new FieldSyncError('bad_setting', message, { details: { path } });
}

/** True for the trap of a wasm instance: a panic, or memory that ran out. The instance is unusable from then on. */
export function isTrap(cause: unknown): boolean {
  return typeof WebAssembly !== 'undefined' && cause instanceof WebAssembly.RuntimeError;
}

/**
 * The error for an instance that trapped. What was saved is in IndexedDB and stays there. Not to be repeated blindly:
 * what the call was about may have been done before nobody could say so.
 */
export function deadInstance(cause: unknown): FieldSyncError {
  return new FieldSyncError(
    'instance_dead',
    'The FieldSync engine stopped unexpectedly and is started again. Saved work is safe; whether this call took effect is to be looked up.',
    { cause },
  );
}

/** Turns whatever the boundary threw into a {@link FieldSyncError}. */
export function toFieldSyncError(cause: unknown): FieldSyncError {
  if (cause instanceof FieldSyncError) return cause;
  if (isTrap(cause)) return deadInstance(cause);
  if (isFault(cause)) {
    return new FieldSyncError(cause.code, String(cause.message ?? cause.code), {
      retryable: cause.retryable === true,
      details: isObject(cause.details) ? cause.details : {},
      cause,
    });
  }
  const message = cause instanceof Error ? cause.message : String(cause);
  return new FieldSyncError('internal', message, { cause });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isFault(value: unknown): value is Record<string, unknown> & { code: string } {
  return isObject(value) && !(value instanceof Error) && typeof value.code === 'string';
}
