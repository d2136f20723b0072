/**
 * TinyBase with its IndexedDB persister: everything is in memory, and each save writes the whole store. Overlapping saves
 * are one transaction of the store and one save. It has an outbox table of the app's; its own synchronizers need a
 * WebSocket, so a push sends that table in batches of 500. Durability is the browser's default (relaxed in both).
 */
import { createStore } from 'tinybase';
import { createIndexedDbPersister } from 'tinybase/persisters/persister-indexed-db';
import { batches, each, upload } from '../page/items.mjs';
import { PUSH_BATCH, sideOf } from '../page/side.mjs';

export const { save, push, download, coldStart } = sideOf({
  open,
  close: ({ persister }) => persister.destroy(),
  saveAll,
  sendAll,
  storeAll,
  countAll,
  countUnsent,
  find,
});

function open(user) {
  const store = createStore();
  const persister = createIndexedDbPersister(store, `tinybase-${user}`, undefined, (cause) => {
    throw cause;
  });
  return { store, persister };
}

async function saveAll({ store, persister }, all, overlapping) {
  const one = (record) => {
    put(store, { entity: 'item', ...record });
    store.setRow('outbox', record.id, { data: JSON.stringify(record) });
  };
  if (overlapping) {
    store.transaction(() => all.forEach(one));
    await persister.save();
  } else {
    await each(all, false, (record) => {
      store.transaction(() => one(record));
      return persister.save();
    });
  }
}

async function sendAll({ store, persister }) {
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
}

async function storeAll({ store, persister }, all) {
  store.transaction(() => {
    for (const record of all) put(store, record);
  });
  await persister.save();
}

/** Both counts are of what was stored, not of what is in memory. */
async function countAll({ store, persister }) {
  await persister.load();
  const tables = store.getTableIds().filter((table) => table !== 'outbox');
  return tables.reduce((sum, table) => sum + store.getRowCount(table), 0);
}

async function countUnsent({ store, persister }) {
  await persister.load();
  return store.getRowCount('outbox');
}

async function find({ store, persister }, entity, id) {
  await persister.load();
  return store.hasRow(entity, String(id));
}

/** Cells are plain values: lists and objects go in as JSON. */
function put(store, { entity, id, ...data }) {
  const cells = Object.entries(data).filter(([, value]) => value !== null);
  const plain = cells.map(([name, value]) => [name, typeof value === 'object' ? JSON.stringify(value) : value]);
  store.setRow(entity, String(id), Object.fromEntries(plain));
}
