/**
 * Whether a copy of the records is the file under a mapping of IDs.
 *
 * Imports nothing of ours and shares no code with the side that wrote the records: where that side walks down the
 * declared paths, this one walks every value and looks up where it stands. A copy is a list of records per entity; the
 * mapping gives for `entity` and file ID the ID that the record has in the copy.
 */
import { isDeepStrictEqual } from 'node:util';

/** Everything in which the copy differs from the file. */
export function differences({ entities }, copy, idOf) {
  const found = [];
  for (const entity of Object.keys(copy)) {
    if (!Object.hasOwn(entities, entity)) found.push(`${entity}: not in the file`);
  }
  for (const [entity, { key, references, records }] of Object.entries(entities)) {
    const there = copy[entity] ?? [];
    if (there.length !== records.length)
      found.push(`${entity}: ${there.length} records, the file has ${records.length}`);
    const byId = new Map();
    for (const record of there) {
      if (byId.has(JSON.stringify(record.id))) found.push(`${entity} ${JSON.stringify(record.id)}: there twice`);
      byId.set(JSON.stringify(record.id), record);
    }
    for (const record of records) {
      const at = `${entity} ${JSON.stringify(record.id)}`;
      const id = idOf(entity, record.id);
      if (id === undefined || id === null) {
        found.push(`${at}: has no ID there`);
        continue;
      }
      if (key === 'integer' ? !Number.isSafeInteger(id) : typeof id !== 'string')
        found.push(`${at}: ${id} is no ${key} ID`);
      const other = byId.get(JSON.stringify(id));
      byId.delete(JSON.stringify(id));
      if (other === undefined) {
        found.push(`${at}: ${JSON.stringify(id)} is not there, or stands for another record too`);
        continue;
      }
      const expected = { ...translated(record, '', references, idOf), id };
      found.push(...unequalFields(at, expected, other));
    }
    for (const id of byId.keys()) found.push(`${entity} ${id}: there, but not in the file`);
  }
  return found;
}

/** Every reference of the file, as `[entity, file ID, path, target, target's file ID]`. */
export function edges({ entities }) {
  const found = [];
  for (const [entity, { references, records }] of Object.entries(entities)) {
    for (const record of records) {
      translated(record, '', references, (target, id, path) => {
        found.push([entity, record.id, path, target, id]);
        return id;
      });
    }
  }
  return found;
}

/** A copy of the value in which every reference is translated. `where` is the pattern of the place. */
function translated(value, where, references, idOf) {
  if (value === null) return null;
  if (Object.hasOwn(references, where)) return idOf(references[where], value, where);
  if (Array.isArray(value)) return value.map((item) => translated(item, `${where}[]`, references, idOf));
  if (typeof value !== 'object') return value;
  const fields = Object.entries(value).map(([field, inner]) => [
    field,
    translated(inner, where === '' ? field : `${where}.${field}`, references, idOf),
  ]);
  return Object.fromEntries(fields);
}

/** The fields that differ; what the client keeps about a record is not part of it. */
function unequalFields(at, expected, { _sync, ...there }) {
  if (isDeepStrictEqual(expected, there)) return [];
  const fields = new Set([...Object.keys(expected), ...Object.keys(there)]);
  return [...fields]
    .filter((field) => !isDeepStrictEqual(expected[field], there[field]) || field in expected !== field in there)
    .map((field) => `${at}.${field}: ${shown(there[field])}, the file means ${shown(expected[field])}`);
}

function shown(value) {
  return value === undefined ? 'absent' : JSON.stringify(value);
}
