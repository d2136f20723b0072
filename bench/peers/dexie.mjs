/**
 * Dexie: a record and an outbox row in one strict transaction, and the app's own batches of 500: what raw does, written
 * with Dexie. It has no sync without its vendor's cloud, no audit, no conflicts; temporary IDs are the app's to swap.
 */
import { Dexie } from 'dexie';
import { batches, each, upload } from '../page/items.mjs';
import { PAGE_SIZE, PUSH_BATCH, sideOf } from '../page/side.mjs';

export const { save, push, download, coldStart } = sideOf({
  open,
  close: (database) => database.close(),
  saveAll,
  sendAll,
  storeAll,
  countAll: (database) => database.records.count(),
  countUnsent: (database) => database.outbox.count(),
  find: (database, entity, id) => database.records.get([entity, id]),
});

function open(user) {
  const database = new Dexie(`dexie-${user}`, { chromeTransactionDurability: 'strict' });
  database.version(1).stores({ records: '[entity+id], parentId', outbox: '++seq' });
  return database.open();
}

function saveAll(database, all, overlapping) {
  return each(all, overlapping, (record) =>
    database.transaction('rw', database.records, database.outbox, async () => {
      // Both are begun at once: the second need not wait for the first.
      database.records.put({ entity: 'item', ...record });
      await database.outbox.put({ id: record.id, kind: 'create', data: record });
    }),
  );
}

async function sendAll(database) {
  for (const batch of batches(await database.outbox.toArray(), PUSH_BATCH)) {
    const real = await upload(batch);
    const moved = batch.map(({ data }) => {
      const parentId = real.get(data.parentId) ?? data.parentId;
      return { entity: 'item', ...data, id: real.get(data.id), parentId };
    });
    await database.transaction('rw', database.records, database.outbox, async () => {
      await database.records.bulkDelete(batch.map(({ data }) => ['item', data.id]));
      await database.records.bulkPut(moved);
      await database.outbox.bulkDelete(batch.map(({ seq }) => seq));
    });
  }
}

async function storeAll(database, all) {
  for (const page of batches(all, PAGE_SIZE)) await database.records.bulkPut(page);
}
