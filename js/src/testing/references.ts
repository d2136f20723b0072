/** The references of records, at the paths that the schema declares, for the test server. */
import type { EntitySchema } from '../config.js';
import type { Key } from '../records.js';
import { type Fields, member } from './delta.js';

export type Rule = 'restrict' | 'cascade' | 'set-null';
type IsGone = (entity: string, id: Key) => boolean;

/** What no rule names is restricted; who refers by several paths goes by the strictest. */
const STRICTEST: readonly Rule[] = ['restrict', 'cascade', 'set-null'];

/** Calls for each place that holds something at a path of the schema: `clientId`, `owner.id`, `lines[].productId`. */
export function each(data: Fields, path: string, call: (holder: Fields, field: string) => void): void {
  const [first = '', ...rest] = path.split('.');
  const isList = first.endsWith('[]');
  const field = isList ? first.slice(0, -2) : first;
  const value = member(data, field);
  if (value === undefined) return;
  if (!isList) {
    if (rest.length === 0) call(data, field);
    else each(value as Fields, rest.join('.'), call);
    return;
  }
  if (!Array.isArray(value)) return;
  for (const at of value.keys()) {
    if (rest.length === 0) call(value as unknown as Fields, String(at));
    else each(value[at] as Fields, rest.join('.'), call);
  }
}

/** What becomes of a record when those that `isGone` says of are deleted; nothing if it refers to none. */
export function onDelete(declared: EntitySchema | undefined, data: Fields, isGone: IsGone): Rule | undefined {
  const rules = new Set<Rule>();
  for (const [path, to] of Object.entries(declared?.references ?? {})) {
    each(data, path, (holder, field) => {
      if (isGone(to, holder[field] as Key)) rules.add(declared?.onDelete?.[path] ?? 'restrict');
    });
  }
  return STRICTEST.find((rule) => rules.has(rule));
}

/** The record without its references to what is gone. */
export function unset(declared: EntitySchema | undefined, fields: Fields, isGone: IsGone): Fields {
  const data = structuredClone(fields);
  for (const [path, to] of Object.entries(declared?.references ?? {})) {
    each(data, path, (holder, field) => {
      if (isGone(to, holder[field] as Key)) holder[field] = null;
    });
  }
  return data;
}
