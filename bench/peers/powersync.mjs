/**
 * PowerSync with SQLite on the origin's private file system, in its worker: its triggers write the outbox, its batches
 * (500 here) are pushed, client IDs stay. Its download needs its vendor's service: here rows go straight into its tables,
 * which is less than it does. A commit is flushed to the file.
 */
import { column, Schema, Table } from '@powersync/common';
import { PowerSyncDatabase, WASQLiteVFS } from '@powersync/web';
import { allRecords, batches, each, expect, items, upload } from '../page/items.mjs';

const PUSH_BATCH = 500;
const PAGE_SIZE = 1000;
const SCHEMA = new Schema({
  item: new Table(
    { parentId: column.text, title: column.text, amount: column.real, done: column.integer, text: column.text },
    { indexes: { parent: ['parentId'] } },
  ),
  record: new Table({ entity: column.text, data: column.text }),
});

export function save({ user, count, overlapping }) {
  return within(user, (database) => saveAll(database, items(count), overlapping));
}

export function push({ user, count }) {
  return within(user, async (database) => {
    await saveAll(database, items(count), true);
    const start = performance.now();
    let sent = 0;
    for (;;) {
      const batch = await database.getCrudBatch(PUSH_BATCH);
      if (batch === null) break;
      await upload(batch.crud.map(({ id, opData }) => ({ id, kind: 'create', data: opData })));
      await batch.complete();
      sent += batch.crud.length;
    }
    const took = performance.now() - start;
    expect(sent, count, 'operations sent');
    return took;
  });
}

export function download({ user, count }) {
  return within(user, async (database) => {
    const start = performance.now();
    for (const page of batches(await allRecords(), PAGE_SIZE)) {
      const rows = page.map(({ entity, id, ...data }) => {
        return [key(entity, id), JSON.stringify({ entity, data: JSON.stringify(data) })];
      });
      await database.executeBatch('INSERT INTO ps_data__record(id, data) VALUES (?, ?)', rows);
    }
    const took = performance.now() - start;
    const { there } = await database.get('SELECT count(*) AS there FROM record');
    expect(there, count, 'records downloaded');
    return took;
  });
}

export async function coldStart({ user, entity, id }) {
  const start = performance.now();
  const database = await open(user);
  await database.get('SELECT * FROM record WHERE id = ?', [key(entity, id)]);
  const took = performance.now() - start;
  await database.close();
  return took;
}

async function open(user) {
  const file = { dbFilename: `${user}.db`, vfs: WASQLiteVFS.OPFSCoopSyncVFS, enableMultiTabs: false };
  const database = new PowerSyncDatabase({
    schema: SCHEMA,
    database: { ...file, worker: '/peers/powersync/worker.js' },
  });
  await database.init();
  return database;
}

async function within(user, job) {
  const database = await open(user);
  try {
    return await job(database);
  } finally {
    await database.close();
  }
}

function saveAll(database, all, overlapping) {
  const insert = 'INSERT INTO item(id, parentId, title, amount, done, text) VALUES (?, ?, ?, ?, ?, ?)';
  return each(all, overlapping, ({ id, parentId, title, amount, done, text }) =>
    database.execute(insert, [id, parentId, title, amount, done ? 1 : 0, text]),
  );
}

function key(entity, id) {
  return `${entity}/${id}`;
}
