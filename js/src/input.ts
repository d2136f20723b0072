/**
 * What may cross into the engine: JSON and nothing else.
 *
 * `JSON.stringify` alone would lose data in silence: a function vanishes, `NaN` becomes `null`, a `Map` becomes `{}`.
 * So every document is walked first, and what JSON cannot hold is refused with the path to it: a JSON Pointer into a
 * document, or the name of an argument. Whether a number, a size or a depth is within the limits is the engine's to
 * say; here only the own stack is protected.
 */
import { type ErrorCode, FieldSyncError } from './errors.js';

/** Deeper input is refused before it could exhaust the stack of this walk. The engine's limit is far lower. */
const WALK_DEPTH_MAX = 1000;

/** What a member that is `undefined` means. */
type Undefined =
  | 'absent' // the member is left out, as JSON does
  | 'refused'; // leaving it out would change the meaning: a condition that vanishes matches everything

/** Checks a document and gives its JSON text. */
export function toText(value: unknown): string {
  check(value, '', 'absent', new Set());
  return JSON.stringify(value);
}

/**
 * The text of what is named by dots and not by pointers: settings, a query. In the member `strict` of it, something
 * `undefined` is refused.
 */
export function optionsText(options: unknown, code: ErrorCode, strict?: string): string {
  return dotted(code, () => {
    const member = strict && (options as Record<string, unknown> | null)?.[strict];
    if (member !== undefined) check(member, `/${strict}`, 'refused', new Set());
    return toText(options);
  });
}

/** The text of a filter. A member that is `undefined` is refused: left out, it would match more. */
export function filterText(filter: unknown): string {
  if (!isObject(filter)) throw invalid('filter', `expected an object, not ${describe(filter)}`);
  return dotted('invalid_value', () => {
    check(filter, '', 'refused', new Set());
    return JSON.stringify(filter);
  });
}

function dotted(code: ErrorCode, text: () => string): string {
  try {
    return text();
  } catch (cause) {
    if (!(cause instanceof FieldSyncError)) throw cause;
    const path = (cause.details.path ?? '').slice(1).replaceAll('/', '.');
    throw new FieldSyncError(code, cause.message, { details: { path } });
  }
}

/** The id of an operation, or of an item of the queue. */
export function operationIdOf(operation: unknown): string {
  const { operationId, id } = Object(operation) as { operationId?: unknown; id?: unknown };
  return name(typeof operation === 'string' ? operation : (operationId ?? id), 'operation');
}

/** The id of a conflict, as text. */
export function conflictIdOf(conflict: unknown): string {
  const id: unknown = typeof conflict === 'object' && conflict !== null ? (conflict as { id?: unknown }).id : conflict;
  if (typeof id !== 'number' || !Number.isSafeInteger(id)) throw invalid('conflict', 'a conflict or its id');
  return String(id);
}

/** The text of a strategy, which may be given by its bare name, and of the reason for it. */
export function strategyText(strategy: unknown, reason?: unknown): string {
  const how = typeof strategy === 'string' ? { type: strategy } : strategy;
  if (!isObject(how)) throw invalid('strategy', `expected a strategy or its name, not ${describe(how)}`);
  // Left out, it would be merged by rules instead.
  if ('mergedData' in how && how.mergedData === undefined)
    throw invalid('mergedData', 'expected a record, not undefined');
  return toText(reason === undefined ? how : { ...how, reason: reasonText(reason) });
}

/** The text of an ID: a non-empty string or a finite number. */
export function idText(id: unknown, path = 'id'): string {
  const usable = (typeof id === 'string' && id !== '') || (typeof id === 'number' && Number.isFinite(id));
  if (!usable) throw invalid(path, `expected an ID, a string or a number, not ${describe(id)}`);
  return JSON.stringify(id);
}

/** The argument itself, if it is a non-empty string. */
export function name(value: unknown, path: string): string {
  if (typeof value !== 'string' || value === '') throw invalid(path, `expected a name, not ${describe(value)}`);
  return value;
}

/** Of what kind an option is; `other`: whoever takes it checks it. */
type OptionKind = 'boolean' | 'function' | 'signal' | 'other';

const KINDS: { readonly [kind in OptionKind]: [is: (value: unknown) => boolean, words: string] } = {
  boolean: [(value) => typeof value === 'boolean', 'true or false'],
  function: [(value) => typeof value === 'function', 'a function'],
  signal: [(value) => typeof (value as AbortSignal | null)?.addEventListener === 'function', 'an AbortSignal'],
  other: [() => true, ''],
};

/**
 * The options of a call, each of its kind and none that the call does not have: what a misspelt `dryRun` asks to be shown would
 * be done in earnest.
 */
export function optionsOf<T extends object>(
  given: T | undefined,
  kinds: { readonly [option in keyof T]-?: OptionKind },
): T {
  if (given === undefined) return {} as T;
  if (!isObject(given)) throw invalid('options', `expected an object, not ${describe(given)}`);
  for (const [option, value] of Object.entries(given)) {
    const kind: OptionKind | undefined = Object.hasOwn(kinds, option) ? kinds[option as keyof T] : undefined;
    if (kind === undefined) throw invalid(option, 'is no option');
    const [is, words] = KINDS[kind];
    if (value !== undefined && !is(value)) throw invalid(option, `expected ${words}, not ${describe(value)}`);
  }
  return given;
}

/** An argument that is a list. */
export function listOf<T>(value: readonly T[], path: string): readonly T[] {
  if (!Array.isArray(value)) throw invalid(path, `expected a list, not ${describe(value)}`);
  return value;
}

/** Why something is done; an empty text where that is not said. */
export function reasonText(reason: unknown): string {
  if (reason === undefined) return '';
  if (typeof reason !== 'string') throw invalid('reason', `expected a text, not ${describe(reason)}`);
  check(reason, 'reason', 'absent', new Set());
  return reason;
}

/** A record's fields as text, without the marks that FieldSync itself put on it. */
export function recordText(data: unknown): string {
  const fields = withoutMarks(data);
  check(fields, '', 'absent', new Set([data as object]));
  return JSON.stringify(fields);
}

/** The changes of an update: what is set, and what is taken away because it is `undefined`. */
export function changesText(changes: unknown): string {
  const set: Record<string, unknown> = Object.create(null);
  const unset: string[] = [];
  for (const [field, value] of Object.entries(withoutMarks(changes))) {
    if (value === undefined) unset.push(field);
    else set[field] = value;
  }
  check(set, '', 'absent', new Set([changes as object]));
  return JSON.stringify({ set, unset });
}

/** The writes of a transaction. What is wrong with one of them names its place in the list. */
export function writesText(writes: unknown): string {
  if (!Array.isArray(writes)) throw invalid('writes', `expected a list of writes, not ${describe(writes)}`);
  const texts = writes.map((write: Record<string, unknown> | null, at) => {
    try {
      return writeText(write ?? {});
    } catch (cause) {
      if (cause instanceof FieldSyncError) cause.details.write = at;
      throw cause;
    }
  });
  return `[${texts.join()}]`;
}

function writeText({ kind, entity, id, data, changes }: Record<string, unknown>): string {
  const place = `"entity":${JSON.stringify(name(entity, 'entity'))}`;
  switch (kind) {
    case 'create':
      return `{"kind":"create",${place},"data":${recordText(data)}}`;
    case 'update':
      return `{"kind":"update",${place},"id":${idText(id)},${changesText(changes).slice(1)}`;
    case 'delete':
      return `{"kind":"delete",${place},"id":${idText(id)}}`;
    default:
      throw invalid('kind', 'a write is a create, an update or a delete');
  }
}

function withoutMarks(data: unknown): Record<string, unknown> {
  if (!isObject(data)) throw invalid('', `a record is a plain object, not ${describe(data)}`);
  const { _sync, ...fields } = data;
  return fields;
}

function check(value: unknown, path: string, undefinedMembers: Undefined, above: Set<object>): void {
  switch (typeof value) {
    case 'boolean':
      return;
    case 'string':
      // A lone half of a surrogate pair has no UTF-8 form, so it could not come back as it was.
      if (LONE_SURROGATE.test(value)) throw invalid(path, 'a string with half of a surrogate pair');
      return;
    case 'number':
      if (!Number.isFinite(value)) throw invalid(path, `${value} has no JSON form`);
      return;
    case 'object':
      break;
    default:
      throw invalid(path, `${describe(value)} has no JSON form`);
  }
  if (value === null) return;
  if (isDate(value)) {
    if (Number.isNaN(Number(value))) throw invalid(path, 'an invalid Date');
    return;
  }
  if (above.has(value)) throw invalid(path, 'a cycle: the value contains itself');
  if (above.size >= WALK_DEPTH_MAX) {
    throw new FieldSyncError('too_deep', `nested deeper than ${WALK_DEPTH_MAX} levels`, { details: { path } });
  }
  above.add(value);
  if (Array.isArray(value)) {
    // By index, because `forEach` skips the holes of a sparse array, which JSON would turn into null.
    for (let i = 0; i < value.length; i++) check(value[i], `${path}/${i}`, undefinedMembers, above);
  } else if (isPlain(value)) {
    for (const [key, member] of Object.entries(value)) {
      if (member === undefined && undefinedMembers === 'absent') continue;
      check(member, `${path}/${pointerPart(key)}`, undefinedMembers, above);
    }
  } else {
    throw invalid(path, `${describe(value)} is not a plain object`);
  }
  above.delete(value);
}

const LONE_SURROGATE = /\p{Surrogate}/u;

function isDate(value: object): value is Date {
  return Object.prototype.toString.call(value) === '[object Date]' && typeof (value as Date).toISOString === 'function';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && isPlain(value);
}

/** An object literal of any realm: its prototype is nothing, or is itself at the root. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || (!Array.isArray(value) && Object.getPrototypeOf(prototype) === null);
}

function pointerPart(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}

function describe(value: unknown): string {
  if (value === null || Number.isNaN(value)) return String(value);
  if (value === '') return 'an empty string';
  if (typeof value === 'object') return `a ${value.constructor?.name ?? 'object'}`;
  if (typeof value === 'bigint') return 'a BigInt';
  return typeof value === 'undefined' ? 'undefined' : `a ${typeof value}`;
}

/** What is wrong with an argument, or with what a pointer leads to in one. */
export function invalid(path: string, message: string): FieldSyncError {
  return new FieldSyncError('invalid_value', path === '' ? message : `${path}: ${message}`, { details: { path } });
}
