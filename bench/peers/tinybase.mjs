/**
 * TinyBase with its IndexedDB persister: everything is in memory, and each save writes the whole store. Overlapping saves
 * are one transaction of the store and one save. It has an outbox table of the app's; its own synchronizers need a
 * WebSocket, so a push sends that table in batches of 500. Durability is the browser's default (relaxed in both).
 */
import { createStore } from 'tinybase';
import { createIndexedDbPersister } from 'tinybase/persisters/persister-indexed-db';
import { allRecords, batches, each, expect, items, upload } from '../page/items.mjs';

const PUSH_BATCH = 500;

export function save({ user, count, overlapping }) {
  return within(user, (store, persister) => saveAll(store, persister, items(count), overlapping));
}

export function push({ user, count }) {
  return within(user, async (store, persister) => {
    await saveAll(store, persister, items(count), true);
    const start = performance.now();
    const operations = Object.entries(store.getTable('outbox')).map(([id, { data }]) => ({
      id,
      data: JSON.parse(data),
    }));
    for (const batch of batches(operations, PUSH_BATCH)) {
      const real = await upload(batch.map(({ id, data }) => ({ id, kind: 'create', data })));
      store.transaction(() => {
        for (const { id, data } of batch) {
          store.delRow('item', id);
          const parentId = real.get(data.parentId) ?? data.parentId;
          put(store, { entity: 'item', ...data, id: real.get(id), parentId });
          store.delRow('outbox', id);
        }
      });
      await persister.save();
    }
    const took = performance.now() - start;
    expect(store.getRowCount('outbox'), 0, 'operations left');
    expect(store.getRowCount('item'), count, 'records');
    return took;
  });
}

export function download({ user, count }) {
  return within(user, async (store, persister) => {
    const start = performance.now();
    const all = await allRecords();
    store.transaction(() => {
      for (const record of all) put(store, record);
    });
    await persister.save();
    const took = performance.now() - start;
    const there = store.getTableIds().reduce((sum, table) => sum + store.getRowCount(table), 0);
    expect(there, count, 'records downloaded');
    return took;
  });
}

export async function coldStart({ user, entity, id }) {
  const start = performance.now();
  const { store, persister } = open(user);
  await persister.load();
  const found = store.hasRow(entity, String(id));
  const took = performance.now() - start;
  await persister.destroy();
  if (!found) throw new Error('the cold start found nothing');
  return took;
}

function open(user) {
  const store = createStore();
  const persister = createIndexedDbPersister(store, `tinybase-${user}`, undefined, (cause) => {
    throw cause;
  });
  return { store, persister };
}

async function within(user, job) {
  const { store, persister } = open(user);
  try {
    return await job(store, persister);
  } finally {
    await persister.destroy();
  }
}

async function saveAll(store, persister, all, overlapping) {
  const one = (record) => {
    put(store, { entity: 'item', ...record });
    store.setRow('outbox', record.id, { data: JSON.stringify(record) });
  };
  if (!overlapping) {
    return each(all, false, (record) => {
      store.transaction(() => one(record));
      return persister.save();
    });
  }
  const start = performance.now();
  store.transaction(() => all.forEach(one));
  await persister.save();
  return performance.now() - start;
}

/** Cells are plain values: lists and objects go in as JSON. */
function put(store, { entity, id, ...data }) {
  const cells = Object.entries(data).filter(([, value]) => value !== null);
  const plain = cells.map(([name, value]) => [name, typeof value === 'object' ? JSON.stringify(value) : value]);
  store.setRow(entity, String(id), Object.fromEntries(plain));
}
