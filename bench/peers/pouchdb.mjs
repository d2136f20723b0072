/**
 * PouchDB with its IndexedDB adapter: puts, and a push of its changes feed in batches of 500 with the place kept in a
 * local document: what its replication does, without CouchDB's protocol. A download is `bulkDocs`. Durability is the
 * browser's default (relaxed in both); client IDs stay. Every document has its tree of revisions; no audit.
 */
import PouchDB from 'pouchdb-browser';
import { batches, each, upload } from '../page/items.mjs';
import { key, PAGE_SIZE, PUSH_BATCH, sideOf } from '../page/side.mjs';

/** The document that keeps how far the push has come. */
const PLACE = '_local/push';

export const { save, push, download, coldStart } = sideOf({
  open,
  ready,
  close: (database) => database.close(),
  saveAll,
  sendAll,
  storeAll,
  countAll: async (database) => (await database.info()).doc_count,
  countUnsent,
  find: (database, entity, id) => database.get(key(entity, id)),
});

function open(user) {
  return new PouchDB(`pouchdb-${user}`);
}

/** It opens by itself, later: that must not be a part of the first save. */
async function ready(user) {
  const database = open(user);
  await database.info();
  return database;
}

function saveAll(database, all, overlapping) {
  return each(all, overlapping, (record) => database.put(document({ entity: 'item', ...record })));
}

async function sendAll(database) {
  let place = { _id: PLACE, since: 0 };
  for (;;) {
    const { results, last_seq } = await database.changes({
      since: place.since,
      limit: PUSH_BATCH,
      include_docs: true,
    });
    if (results.length === 0) break;
    await upload(results.map(({ id, doc }) => ({ id, kind: 'create', data: doc })));
    const { rev } = await database.put({ ...place, since: last_seq });
    place = { ...place, since: last_seq, _rev: rev };
  }
}

async function countUnsent(database) {
  const { since } = await database.get(PLACE);
  return (await database.changes({ since })).results.length;
}

async function storeAll(database, all) {
  for (const page of batches(all, PAGE_SIZE)) await database.bulkDocs(page.map(document));
}

function document(record) {
  return { ...record, _id: key(record.entity, record.id) };
}
