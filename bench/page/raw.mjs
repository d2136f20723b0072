/**
 * The measure: what an app without any library does with IndexedDB. Every function gives milliseconds.
 *
 * A save is a record and an outbox row in one strict transaction; a push sends 500 operations per request and swaps the
 * temporary IDs in one transaction; a download puts 1,000 rows per relaxed transaction.
 */
const PUSH_BATCH = 500;
const PAGE_SIZE = 1000;

export async function openRaw(name) {
  const request = indexedDB.open(name, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore('records', { keyPath: ['entity', 'id'] }).createIndex('parent', 'parentId');
    request.result.createObjectStore('outbox', { keyPath: 'seq', autoIncrement: true });
  };
  return finished(request);
}

export async function save(database, records, overlapping) {
  const start = performance.now();
  const one = (record) => write(database, record.id, record);
  if (overlapping) await Promise.all(records.map(one));
  else for (const record of records) await one(record);
  return performance.now() - start;
}

function write(database, id, record) {
  const transaction = database.transaction(['records', 'outbox'], 'readwrite', { durability: 'strict' });
  transaction.objectStore('records').put({ entity: 'item', ...record });
  transaction.objectStore('outbox').put({ id, kind: 'create', data: record });
  return completed(transaction);
}

export async function push(database) {
  const start = performance.now();
  const operations = await finished(database.transaction('outbox').objectStore('outbox').getAll());
  for (let first = 0; first < operations.length; first += PUSH_BATCH) {
    const batch = operations.slice(first, first + PUSH_BATCH);
    const response = await fetch('/raw/upload', { method: 'POST', body: JSON.stringify({ operations: batch }) });
    const { results } = await response.json();
    const real = new Map(results.map(({ id, realId }) => [id, realId]));
    const transaction = database.transaction(['records', 'outbox'], 'readwrite', { durability: 'strict' });
    const records = transaction.objectStore('records');
    for (const { seq, data } of batch) {
      records.delete(['item', data.id]);
      records.put({
        entity: 'item',
        ...data,
        id: real.get(data.id),
        parentId: real.get(data.parentId) ?? data.parentId,
      });
      transaction.objectStore('outbox').delete(seq);
    }
    await completed(transaction);
  }
  return performance.now() - start;
}

/** A record and a thousand that refer to it: its key and their references, in one transaction. */
export async function cascade(database, from, to) {
  const start = performance.now();
  const transaction = database.transaction('records', 'readwrite', { durability: 'strict' });
  const records = transaction.objectStore('records');
  const parent = await finished(records.get(['item', from]));
  const children = await finished(records.index('parent').getAll(from));
  records.delete(['item', from]);
  records.put({ ...parent, id: to });
  for (const child of children) records.put({ ...child, parentId: to });
  await completed(transaction);
  if (children.length === 0) throw new Error('the raw cascade found nobody');
  return performance.now() - start;
}

export async function download(database) {
  const start = performance.now();
  const records = await (await fetch('/raw/records')).json();
  for (let first = 0; first < records.length; first += PAGE_SIZE) {
    const transaction = database.transaction('records', 'readwrite', { durability: 'relaxed' });
    for (const record of records.slice(first, first + PAGE_SIZE)) {
      transaction.objectStore('records').put({ entity: 'item', ...record });
    }
    await completed(transaction);
  }
  return performance.now() - start;
}

/** From nothing open to the first record read. */
export async function coldStart(name, entity, id) {
  const start = performance.now();
  const database = await openRaw(name);
  const found = await finished(database.transaction('records').objectStore('records').get([entity, id]));
  const took = performance.now() - start;
  database.close();
  if (found === undefined) throw new Error('the raw cold start found nothing');
  return took;
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
