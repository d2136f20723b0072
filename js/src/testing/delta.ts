/** What the changes of an update leave of a record: docs/protocol.md says how they are told. */

export type Fields = Record<string, unknown>;

export interface ListDelta {
  by?: string;
  set?: Fields;
  unset?: string[];
  order?: string[];
}

export interface Delta {
  set?: Fields;
  unset?: string[];
  add?: Record<string, number>;
  lists?: Record<string, ListDelta>;
}

/** What an object has of its own under a name: no list has names, and what all objects inherit is no content. */
export function member(holder: unknown, name: string): unknown {
  const isObject = typeof holder === 'object' && holder !== null && !Array.isArray(holder);
  return isObject && Object.hasOwn(holder, name) ? (holder as Fields)[name] : undefined;
}

/** What is left of a field that is taken away. */
const nothing = (): undefined => undefined;

/** As an assignment, which would make `__proto__` something else than a name. */
function put(holder: Fields, name: string, value: unknown): void {
  Object.defineProperty(holder, name, { value, writable: true, enumerable: true, configurable: true });
}

/** Whether something is done to a field, whatever that is by then. */
export function isRelative({ add = {}, lists = {} }: Delta): boolean {
  return Object.keys(add).length + Object.keys(lists).length > 0;
}

/** The record afterwards, the top-level fields that are touched, and the pointer to one that is nothing to do this to. */
export function changedBy(
  before: Fields,
  { set = {}, unset = [], add = {}, lists = {} }: Delta,
): { data: Fields; fields: string[]; unfit?: string } {
  const data = structuredClone(before);
  const fields = new Set<string>();
  let unfit: string | undefined;
  const change = (pointer: string, made: (value: unknown) => unknown): void => {
    const keys = pointer
      .slice(1)
      .split('/')
      .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = keys.pop() as string;
    fields.add(keys[0] ?? last);
    let holder = data;
    for (const key of keys) {
      const inner = member(holder, key);
      const isObject = typeof inner === 'object' && inner !== null && !Array.isArray(inner);
      if (!isObject && made === nothing) return;
      if (!isObject) put(holder, key, {});
      holder = holder[key] as Fields;
    }
    const value = made(member(holder, last));
    if (value === undefined) delete holder[last];
    else put(holder, last, value);
  };
  const fitting = (pointer: string, value: unknown, made: unknown): unknown => {
    if (made === undefined) unfit = pointer;
    return made ?? value;
  };
  for (const [pointer, value] of Object.entries(set)) change(pointer, () => structuredClone(value));
  for (const pointer of unset) change(pointer, nothing);
  for (const [pointer, more] of Object.entries(add)) {
    change(pointer, (value = 0) =>
      fitting(pointer, value, Number.isSafeInteger(value) ? (value as number) + more : undefined),
    );
  }
  for (const [pointer, list] of Object.entries(lists)) {
    change(pointer, (value = []) => fitting(pointer, value, listed(value, list)));
  }
  return { data, fields: [...fields], ...(unfit !== undefined && { unfit }) };
}

/** A list after what happens to its items; `undefined` if it is none of such items. */
function listed(list: unknown, { by, set, unset, order = [] }: ListDelta): unknown[] | undefined {
  const nameOf = (item: unknown): string | undefined => {
    const named = by === undefined ? item : member(item, by);
    return named === undefined ? undefined : canonical(named);
  };
  if (!Array.isArray(list)) return undefined;
  const names = list.map(nameOf);
  if (names.includes(undefined) || new Set(names).size < names.length) return undefined;
  const before = Object.fromEntries(names.map((name, at) => [name, list[at]]));
  const items = changedBy(before, { ...(set && { set }), ...(unset && { unset }) }).data;
  // What was changed in an item that is gone makes no item.
  const stays = (name: string | undefined): name is string => name !== undefined && nameOf(items[name]) === name;
  const come = Object.keys(items).filter((name) => !names.includes(name));
  const now = [...names, ...come.sort()].filter(stays);
  return inOrder(order.filter(stays), now).map((name) => items[name]);
}

/** The names in the order of `first`, and what that does not name behind what it follows. */
function inOrder(first: string[], names: string[]): string[] {
  if (first.length === 0) return names;
  const behind = new Map<string | undefined, string[]>();
  let last: string | undefined;
  for (const name of names) {
    if (first.includes(name)) last = name;
    else behind.set(last, [...(behind.get(last) ?? []), name]);
  }
  return [undefined, ...first].flatMap((name) => [...(name === undefined ? [] : [name]), ...(behind.get(name) ?? [])]);
}

/** The canonical text of a value (RFC 8785). */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${canonical(field)}`).join()}}`;
}
