/**
 * PowerSync with SQLite on the origin's private file system, in its worker: its triggers write the outbox, its batches
 * (500 here) are pushed, client IDs stay. Its download needs its vendor's service: here rows go straight into its tables,
 * which is less than it does. A commit is flushed to the file.
 */
import { column, Schema, Table } from '@powersync/common';
import { PowerSyncDatabase, WASQLiteVFS } from '@powersync/web';
import { batches, each, upload } from '../page/items.mjs';
import { key, PAGE_SIZE, PUSH_BATCH, sideOf } from '../page/side.mjs';

const SCHEMA = new Schema({
  item: new Table(
    { parentId: column.text, title: column.text, amount: column.real, done: column.integer, text: column.text },
    { indexes: { parent: ['parentId'] } },
  ),
  record: new Table({ entity: column.text, data: column.text }),
});

export const { save, push, download, coldStart } = sideOf({
  open,
  close: (database) => database.close(),
  saveAll,
  sendAll,
  storeAll,
  // Items are saved, records are downloaded.
  countAll: async (database) => (await count(database, 'item')) + (await count(database, 'record')),
  countUnsent: (database) => count(database, 'ps_crud'),
  find: (database, entity, id) => database.get('SELECT * FROM record WHERE id = ?', [key(entity, id)]),
});

async function open(user) {
  const file = { dbFilename: `${user}.db`, vfs: WASQLiteVFS.OPFSCoopSyncVFS, enableMultiTabs: false };
  const database = new PowerSyncDatabase({
    schema: SCHEMA,
    database: { ...file, worker: '/peers/powersync/worker.js' },
  });
  await database.init();
  return database;
}

function saveAll(database, all, overlapping) {
  const insert = 'INSERT INTO item(id, parentId, title, amount, done, text) VALUES (?, ?, ?, ?, ?, ?)';
  return each(all, overlapping, ({ id, parentId, title, amount, done, text }) =>
    database.execute(insert, [id, parentId, title, amount, done ? 1 : 0, text]),
  );
}

async function sendAll(database) {
  for (;;) {
    const batch = await database.getCrudBatch(PUSH_BATCH);
    if (batch === null) break;
    await upload(batch.crud.map(({ id, opData }) => ({ id, kind: 'create', data: opData })));
    await batch.complete();
  }
}

async function storeAll(database, all) {
  for (const page of batches(all, PAGE_SIZE)) {
    const rows = page.map(({ entity, id, ...data }) => {
      return [key(entity, id), JSON.stringify({ entity, data: JSON.stringify(data) })];
    });
    await database.executeBatch('INSERT INTO ps_data__record(id, data) VALUES (?, ?)', rows);
  }
}

async function count(database, table) {
  const { there } = await database.get(`SELECT count(*) AS there FROM ${table}`);
  return there;
}
