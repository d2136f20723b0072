/**
 * The measure: what an app without any library does with IndexedDB. Every function gives milliseconds.
 *
 * A save is a record and an outbox row in one strict transaction; a push sends 500 operations per request and swaps the
 * temporary IDs in one transaction; a download puts 1,000 rows per relaxed transaction.
 */
import { allRecords, batches, each, expect, items, upload } from './items.mjs';

const PUSH_BATCH = 500;
const PAGE_SIZE = 1000;

export function save({ user, count, overlapping }) {
  return within(user, (database) => saveAll(database, items(count), overlapping));
}

export function push({ user, count }) {
  return within(user, async (database) => {
    await saveAll(database, items(count), true);
    const start = performance.now();
    const operations = await finished(database.transaction('outbox').objectStore('outbox').getAll());
    for (const batch of batches(operations, PUSH_BATCH)) {
      const real = await upload(batch);
      const transaction = database.transaction(['records', 'outbox'], 'readwrite', { durability: 'strict' });
      const records = transaction.objectStore('records');
      for (const { seq, data } of batch) {
        records.delete(['item', data.id]);
        const parentId = real.get(data.parentId) ?? data.parentId;
        records.put({ entity: 'item', ...data, id: real.get(data.id), parentId });
        transaction.objectStore('outbox').delete(seq);
      }
      await completed(transaction);
    }
    return performance.now() - start;
  });
}

/** A record and a thousand that refer to it: its key and their references, in one transaction. */
export function cascade({ user, count }) {
  return within(user, async (database) => {
    const family = Array.from({ length: count + 1 }, (_, index) => ({ id: `temp_${index}`, title: 'x' }));
    const related = family.map((item, index) => ({ ...item, parentId: index === 0 ? null : 'temp_0' }));
    await saveAll(database, related, true);
    const start = performance.now();
    const transaction = database.transaction('records', 'readwrite', { durability: 'strict' });
    const records = transaction.objectStore('records');
    const parent = await finished(records.get(['item', 'temp_0']));
    const children = await finished(records.index('parent').getAll('temp_0'));
    records.delete(['item', 'temp_0']);
    records.put({ ...parent, id: 1_000_000 });
    for (const child of children) records.put({ ...child, parentId: 1_000_000 });
    await completed(transaction);
    const took = performance.now() - start;
    expect(children.length, count, 'the cascade reached');
    return took;
  });
}

export function download({ user, count }) {
  return within(user, async (database) => {
    const start = performance.now();
    for (const page of batches(await allRecords(), PAGE_SIZE)) {
      const transaction = database.transaction('records', 'readwrite', { durability: 'relaxed' });
      for (const record of page) transaction.objectStore('records').put(record);
      await completed(transaction);
    }
    const took = performance.now() - start;
    const there = await finished(database.transaction('records').objectStore('records').count());
    expect(there, count, 'records downloaded');
    return took;
  });
}

/** From nothing open to the first record read. */
export async function coldStart({ user, entity, id }) {
  const start = performance.now();
  const database = await open(user);
  const found = await finished(database.transaction('records').objectStore('records').get([entity, id]));
  const took = performance.now() - start;
  database.close();
  if (found === undefined) throw new Error('the cold start found nothing');
  return took;
}

function open(user) {
  const request = indexedDB.open(`raw-${user}`, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore('records', { keyPath: ['entity', 'id'] }).createIndex('parent', 'parentId');
    request.result.createObjectStore('outbox', { keyPath: 'seq', autoIncrement: true });
  };
  return finished(request);
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
  return each(all, overlapping, (record) => {
    const transaction = database.transaction(['records', 'outbox'], 'readwrite', { durability: 'strict' });
    transaction.objectStore('records').put({ entity: 'item', ...record });
    transaction.objectStore('outbox').put({ id: record.id, kind: 'create', data: record });
    return completed(transaction);
  });
}

function finished(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function completed(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}
