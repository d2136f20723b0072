/**
 * Dexie: a record and an outbox row in one strict transaction, and the app's own batches of 500: what raw does, written
 * with Dexie. It has no sync without its vendor's cloud, no audit, no conflicts; temporary IDs are the app's to swap.
 */
import { Dexie } from 'dexie';
import { allRecords, batches, each, expect, items, upload } from '../page/items.mjs';

const PUSH_BATCH = 500;
const PAGE_SIZE = 1000;

export function save({ user, count, overlapping }) {
  return within(user, (database) => saveAll(database, items(count), overlapping));
}

export function push({ user, count }) {
  return within(user, async (database) => {
    await saveAll(database, items(count), true);
    const start = performance.now();
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
    const took = performance.now() - start;
    expect(await database.outbox.count(), 0, 'operations left');
    return took;
  });
}

export function download({ user, count }) {
  return within(user, async (database) => {
    const start = performance.now();
    for (const page of batches(await allRecords(), PAGE_SIZE)) await database.records.bulkPut(page);
    const took = performance.now() - start;
    expect(await database.records.count(), count, 'records downloaded');
    return took;
  });
}

export async function coldStart({ user, entity, id }) {
  const start = performance.now();
  const database = await open(user);
  const found = await database.records.get([entity, id]);
  const took = performance.now() - start;
  database.close();
  if (found === undefined) throw new Error('the cold start found nothing');
  return took;
}

function open(user) {
  const database = new Dexie(`dexie-${user}`, { chromeTransactionDurability: 'strict' });
  database.version(1).stores({ records: '[entity+id], parentId', outbox: '++seq' });
  return database.open();
}

async function within(user, job) {
  const database = await open(user);
  try {
    return await job(database);
  } finally {
    database.close();
  }
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
