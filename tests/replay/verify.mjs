/**
 * What must hold on each side after a replay, beyond the plain comparison of records: in the server's file, and in a
 * browser's IndexedDB past the package. Everything found wrong is one line.
 */
import { differences, edges } from './compare.mjs';
import { fileKey } from './folder.mjs';

/** The mapping of the server's file: what each record of the folder became there. */
export function serverMapping(database, tempIdOf) {
  const real = new Map(database.tempIds.map(({ temp, entity, id }) => [`${entity} ${temp}`, id]));
  return (entity, id) => real.get(`${entity} ${tempIdOf(entity, id)}`);
}

/** The server's file against the folder. */
export function serverFaults(folder, database, tempIdOf) {
  const idOf = serverMapping(database, tempIdOf);
  const copy = {};
  for (const { entity, id, data } of database.records) {
    copy[entity] ??= [];
    copy[entity].push({ ...data, id });
  }
  const total = Object.values(folder.entities).reduce((sum, { records }) => sum + records.length, 0);
  const expect = (what, found, wanted) => (found === wanted ? [] : [`${what}: ${found} instead of ${wanted}`]);
  return [
    ...expect('integrity check', database.integrity, 'ok'),
    ...expect('rows with a dangling foreign key', database.foreignKeys, 0),
    ...expect('rows of other tenants', database.otherTenants, 0),
    ...expect('tombstones', database.tombstones.length, 0),
    ...expect('temp IDs', database.tempIds.length, total),
    ...expect('receipts', database.receipts.length, total),
    ...differences(folder, copy, idOf),
    ...referenceFaults(folder, database, idOf),
    ...changeFaults(folder, database, idOf, total),
  ];
}

/** The server's own table of references holds the edges of the folder and no others. */
function referenceFaults(folder, database, idOf) {
  const name = (parts) => JSON.stringify(parts);
  const wanted = new Set(
    edges(folder).map(([entity, id, path, target, to]) =>
      name([entity, idOf(entity, id), path, target, idOf(target, to)]),
    ),
  );
  const found = new Set(
    database.references.map((row) => name([row.from_entity, row.from_id, row.path, row.to_entity, row.to_id])),
  );
  return [
    ...[...wanted].filter((edge) => !found.has(edge)).map((edge) => `reference ${edge} is not in the table`),
    ...[...found].filter((edge) => !wanted.has(edge)).map((edge) => `reference ${edge} is in the table only`),
  ];
}

/** Each record was written exactly once, by its create, and after everything that it refers to. */
function changeFaults(folder, database, idOf, total) {
  const found = [];
  if (database.changes.length !== total) found.push(`${database.changes.length} change rows for ${total} records`);
  const operations = new Set(database.changes.map(({ operation }) => operation));
  if (operations.size !== database.changes.length) found.push('an operation was applied twice');
  const versions = new Map();
  for (const { entity, id, version, kind } of database.changes) {
    const key = fileKey(entity, id);
    if (kind !== 'create') found.push(`${key}: a change row of kind ${kind}`);
    if (versions.has(key)) found.push(`${key}: two change rows`);
    versions.set(key, version);
  }
  for (const [entity, id, path, target, to] of edges(folder)) {
    const [child, parent] = [fileKey(entity, idOf(entity, id)), fileKey(target, idOf(target, to))];
    if (child !== parent && !(versions.get(parent) < versions.get(child))) {
      found.push(`${child}: applied before ${parent}, to which ${path} refers`);
    }
  }
  return found;
}

/** The one database of a tenant and user in a browser; its stores hold rows `{ k: key, v: content }`. */
function storesOf(raw) {
  const databases = Object.entries(raw).filter(([name]) => /^fieldsync\/\d+\//.test(name));
  if (databases.length !== 1) throw new Error(`${databases.length} databases of a tenant and user instead of one`);
  return databases[0][1];
}

/** The records that lie in a browser's database: the overlay, and below it the visible generation of the base. */
export function storedCopy(raw) {
  const { base, overlay, state } = storesOf(raw);
  const { generation } = state.find(({ k }) => k === 'sync')?.v ?? { generation: 0 };
  const found = new Map();
  for (const { k, v } of base) {
    const [rowGeneration, entity] = k;
    if (rowGeneration === generation) found.set(fileKey(entity, v.id), { entity, record: { ...v.data, id: v.id } });
  }
  for (const { v } of overlay) {
    const key = fileKey(v.entity, v.id);
    if (v.view === null) found.delete(key);
    else found.set(key, { entity: v.entity, record: { ...v.view, id: v.id } });
  }
  const copy = {};
  for (const { entity, record } of found.values()) {
    copy[entity] ??= [];
    copy[entity].push(record);
  }
  return copy;
}

/** A browser that has nothing unsent: its queue and what is put aside are empty, in its database itself. */
export function settledFaults(raw) {
  const stores = storesOf(raw);
  return ['outbox', 'conflicts', 'quarantine'].flatMap((store) => {
    if (stores[store] === undefined) return [`there is no store '${store}'`];
    return stores[store].length === 0 ? [] : [`${stores[store].length} rows are left in '${store}'`];
  });
}

/** A browser that only downloaded: no temp ID anywhere in its databases. */
export function strangerFaults(raw) {
  const temp = /temp_\d+_[0-9a-z]+_\w+/i.exec(JSON.stringify(raw));
  return temp === null ? [] : [`the temp ID ${temp[0]} came to a browser that did not issue it`];
}
