/**
 * What is being typed into a form, beside the record it started from.
 *
 * A draft holds touched fields only. So a field that was not touched follows the record while others edit it, and only
 * touched fields are saved: the change stays as small as what the user did.
 */
import type { Field } from './entities';

/** Touched values by the field's path; `undefined` is a field that was emptied. */
export type Draft = Readonly<Record<string, unknown>>;

type Fields = Record<string, unknown>;

export function valueAt(record: Fields, path: string): unknown {
  let value: unknown = record;
  for (const part of path.split('.')) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Fields)[part];
  }
  return value;
}

/** The changed top-level fields. A field inside an object brings the object with it. */
export function changesOf(record: Fields, draft: Draft): Fields {
  const changes: Fields = {};
  for (const [path, value] of Object.entries(draft)) {
    const [field, ...inner] = path.split('.');
    if (field === undefined) continue;
    if (inner.length === 0) {
      changes[field] = value;
    } else {
      const whole = { ...((changes[field] ?? record[field] ?? {}) as Fields) };
      const [member] = inner;
      if (member === undefined) continue;
      if (value === undefined) delete whole[member];
      else whole[member] = value;
      changes[field] = whole;
    }
  }
  return changes;
}

/** The text that an input shows for a stored value. */
export function inputText(kind: Field['kind'], value: unknown): string {
  if (value === undefined || value === null) return '';
  if (kind === 'date') return String(value).slice(0, 10);
  if (kind !== 'datetime') return String(value);
  const time = new Date(String(value));
  if (Number.isNaN(time.getTime())) return '';
  // `datetime-local` wants the local time without a zone.
  return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** The value to store for the text of an input; nothing for an empty one. */
export function storedValue(kind: Field['kind'], text: string): unknown {
  if (text === '') return undefined;
  if (kind === 'number') return Number(text);
  if (kind === 'datetime') return new Date(text).toISOString();
  return text;
}
