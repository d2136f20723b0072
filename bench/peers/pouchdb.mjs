/**
 * PouchDB with its IndexedDB adapter: puts, and a push of its changes feed in batches of 500 with the place kept in a
 * local document: what its replication does, without CouchDB's protocol. A download is `bulkDocs`. Durability is the
 * browser's default (relaxed in both); client IDs stay. Every document has its tree of revisions; no audit.
 */
import PouchDB from 'pouchdb-browser';
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
    let place = { _id: '_local/push', since: 0 };
    let sent = 0;
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
      sent += results.length;
    }
    const took = performance.now() - start;
    expect(sent, count, 'operations sent');
    return took;
  });
}

export function download({ user, count }) {
  return within(user, async (database) => {
    const start = performance.now();
    for (const page of batches(await allRecords(), PAGE_SIZE)) await database.bulkDocs(page.map(document));
    const took = performance.now() - start;
    expect((await database.info()).doc_count, count, 'records downloaded');
    return took;
  });
}

export async function coldStart({ user, entity, id }) {
  const start = performance.now();
  const database = open(user);
  await database.get(key(entity, id));
  const took = performance.now() - start;
  await database.close();
  return took;
}

function open(user) {
  return new PouchDB(`pouchdb-${user}`);
}

async function within(user, job) {
  const database = open(user);
  // It opens by itself, later: that must not be a part of the first save.
  await database.info();
  try {
    return await job(database);
  } finally {
    await database.close();
  }
}

function saveAll(database, all, overlapping) {
  return each(all, overlapping, (record) => database.put(document({ entity: 'item', ...record })));
}

function document(record) {
  return { ...record, _id: key(record.entity, record.id) };
}

function key(entity, id) {
  return `${entity}/${id}`;
}
