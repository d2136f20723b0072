/**
 * The server's database file, read by SQLite itself (compiled to WebAssembly), after the server ended.
 *
 * No code of the server is asked: what counts is what lies on the disk.
 */
import { readFile, stat } from 'node:fs/promises';
import initSqlJs from 'sql.js';

/** Reads everything that a replay compares, for one tenant. */
export async function readDatabase(file, tenant) {
  const log = await stat(`${file}-wal`).catch(() => undefined);
  // This SQLite has no shared memory and would pass a log over in silence.
  if (log !== undefined && log.size > 0)
    throw new Error(`${file}-wal still holds changes: the server did not end cleanly`);
  const sqlite = await initSqlJs();
  const database = new sqlite.Database(await readFile(file));
  const rows = (sql) => all(database, sql, tenant);
  try {
    return {
      integrity: database.exec('PRAGMA integrity_check')[0].values[0][0],
      foreignKeys: database.exec('PRAGMA foreign_key_check').length,
      records: rows('SELECT entity, id, version, data FROM records WHERE tenant = ? AND deleted = 0').map((row) => ({
        ...row,
        id: JSON.parse(row.id),
        data: JSON.parse(row.data),
      })),
      tombstones: rows('SELECT entity, id FROM records WHERE tenant = ? AND deleted = 1'),
      tempIds: rows('SELECT temp, entity, id FROM temp_ids WHERE tenant = ?').map((row) => ({
        ...row,
        id: JSON.parse(row.id),
      })),
      changes: rows('SELECT version, entity, id, operation, kind FROM changes WHERE tenant = ? ORDER BY version').map(
        (row) => ({
          ...row,
          id: JSON.parse(row.id),
        }),
      ),
      references: rows('SELECT from_entity, from_id, path, to_entity, to_id FROM refs WHERE tenant = ?').map((row) => ({
        ...row,
        from_id: JSON.parse(row.from_id),
        to_id: JSON.parse(row.to_id),
      })),
      receipts: rows('SELECT operation FROM receipts WHERE tenant = ?'),
      otherTenants: all(database, 'SELECT tenant FROM records WHERE tenant <> ? LIMIT 1', tenant).length,
    };
  } finally {
    database.close();
  }
}

function all(database, sql, parameter) {
  const statement = database.prepare(sql);
  const found = [];
  try {
    statement.bind([parameter]);
    while (statement.step()) found.push(statement.getAsObject());
    return found;
  } finally {
    statement.free();
  }
}
