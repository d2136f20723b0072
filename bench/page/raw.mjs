/**
 * The measure: what an app without any library does with IndexedDB. Every function gives milliseconds.
 *
 * A save is a record and an outbox row in one strict transaction; a push sends 500 operations per request and swaps the
 * temporary IDs in one transaction; a download puts 1,000 rows per relaxed transaction.
 */
import { batches, each, expect, upload } from './items.mjs';
import { PAGE_SIZE, PUSH_BATCH, sideOf, timed } from './side.mjs';

const side = sideOf({
  open,
  close: (database) => database.close(),
  saveAll,
  sendAll,
  storeAll,
  countAll: (database) => finished(store(database, 'records').count()),
  countUnsent: (database) => finished(store(database, 'outbox').count()),
  find: (database, entity, id) => finished(store(database, 'records').get([entity, id])),
});
export const { save, push, download, coldStart } = side;

/** A record and a thousand that refer to it: its key and their references, in one transaction. */
export function cascade({ user, count }) {
  return side.within(user, async (database) => {
    const family = Array.from({ length: count + 1 }, (_, index) => ({ id: `temp_${index}`, title: 'x' }));
    const related = family.map((item, index) => ({ ...item, parentId: index === 0 ? null : 'temp_0' }));
    await saveAll(database, related, true);
    const took = await timed(async () => {
      const transaction = database.transaction('records', 'readwrite', { durability: 'strict' });
      const records = transaction.objectStore('records');
      const parent = await finished(records.get(['item', 'temp_0']));
      const children = await finished(records.index('parent').getAll('temp_0'));
      records.delete(['item', 'temp_0']);
      records.put({ ...parent, id: 1_000_000 });
      for (const child of children) records.put({ ...child, parentId: 1_000_000 });
      await completed(transaction);
    });
    const reached = await finished(store(database, 'records').index('parent').count(1_000_000));
    expect(reached, count, 'the cascade reached');
    return took;
  });
}

function open(user) {
  const request = indexedDB.open(`raw-${user}`, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore('records', { keyPath: ['entity', 'id'] }).createIndex('parent', 'parentId');
    request.result.createObjectStore('outbox', { keyPath: 'seq', autoIncrement: true });
  };
  return finished(request);
}

function saveAll(database, all, overlapping) {
  return each(all, overlapping, (record) => {
    const transaction = database.transaction(['records', 'outbox'], 'readwrite', { durability: 'strict' });
    transaction.objectStore('records').put({ entity: 'item', ...record });
    transaction.objectStore('outbox').put({ id: record.id, kind: 'create', data: record });
    return completed(transaction);
  });
}

async function sendAll(database) {
  const operations = await finished(store(database, 'outbox').getAll());
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
}

async function storeAll(database, all) {
  for (const page of batches(all, PAGE_SIZE)) {
    const transaction = database.transaction('records', 'readwrite', { durability: 'relaxed' });
    for (const record of page) transaction.objectStore('records').put(record);
    await completed(transaction);
  }
}

/** One store, to read. */
function store(database, name) {
  return database.transaction(name).objectStore(name);
}

export function finished(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

export function completed(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}
