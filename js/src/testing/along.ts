/**
 * What goes along with a delete at the test server (rule 10 of docs/protocol.md): records that refer to the one that goes and
 * are newer than what its writer had seen, where the schema declares that they follow. What he knew came with the delete, in
 * its group; where it did not, it stays and stands in the way.
 */
import type { Schema } from '../config.js';
import type { Key } from '../records.js';
import type { Fields } from './delta.js';
import { onDelete, type Rule, unset } from './references.js';

/** Records that go along with one delete. */
const ALONG_MAX = 1_000;

/** A record of the server. */
export interface Row {
  entity: string;
  id: Key;
  version: number;
  /** `undefined`: it is deleted. */
  data: Fields | undefined;
  stamp: [ms: number, n: number];
  fieldStamps: Record<string, [ms: number, n: number]>;
  client?: string;
  bornAs?: string;
}

/** Where a record is kept. */
export const place = (entity: string, id: Key): string => JSON.stringify([entity, id]);

/** The changes that go along, in their order: those that refer to nothing from then on, and those that go. */
export interface Along {
  changed: { row: Row; data: Fields | undefined }[];
  inTheWay?: Row;
  isTooMuch?: true;
}

/** What follows the delete of a record. `live` are the records that are there and that no other member of its group deletes. */
export function along(entities: Schema['entities'], live: Row[], gone: Row, seen: number | undefined): Along {
  const goes = new Set([place(gone.entity, gone.id)]);
  const ended: Row[] = [];
  const cleared = new Set<Row>();
  let level = [gone];
  while (level.length > 0) {
    const next: Row[] = [];
    const found = referring(entities, live, level);
    if (found.length + ended.length > ALONG_MAX && isFollowed(entities, gone.entity))
      return { changed: [], isTooMuch: true };
    for (const { row, rule } of found) {
      if (goes.has(place(row.entity, row.id))) continue;
      const isKnown = seen === undefined || row.version <= seen;
      if (isKnown || rule === 'restrict') return { changed: [], inTheWay: row };
      if (rule === 'set-null') {
        cleared.add(row);
        continue;
      }
      goes.add(place(row.entity, row.id));
      next.push(row);
    }
    ended.push(...next);
    level = next;
  }
  const isGone = (entity: string, id: Key): boolean => goes.has(place(entity, id));
  const stays = [...cleared].filter((row) => !isGone(row.entity, row.id));
  const clear = (row: Row): Along['changed'][number] => ({
    row,
    data: unset(entities[row.entity], row.data ?? {}, isGone),
  });
  return { changed: [...stays.map(clear), ...ended.reverse().map((row) => ({ row, data: undefined }))] };
}

/** The records that refer to others of these, and what is declared of that. */
function referring(entities: Schema['entities'], live: Row[], targets: Row[]): { row: Row; rule: Rule }[] {
  const places = new Set(targets.map(({ entity, id }) => place(entity, id)));
  return live.flatMap((row) => {
    const own = place(row.entity, row.id);
    const isTarget = (entity: string, id: Key): boolean => place(entity, id) !== own && places.has(place(entity, id));
    const rule = onDelete(entities[row.entity], row.data ?? {}, isTarget);
    return rule === undefined ? [] : [{ row, rule }];
  });
}

/** Whether a rule says of any reference to this entity that it follows. */
function isFollowed(entities: Schema['entities'], target: string): boolean {
  return Object.values(entities).some(({ references = {}, onDelete: rules = {} }) =>
    Object.entries(rules).some(([path, rule]) => references[path] === target && rule !== 'restrict'),
  );
}
