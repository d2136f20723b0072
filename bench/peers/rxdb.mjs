/**
 * RxDB with its free storage, which is Dexie (strict here): inserts, and its own replication for push and download, whose
 * place in the collection is the outbox. It keeps client IDs: nothing is swapped. No audit.
 */
import { createRxDatabase } from 'rxdb/plugins/core';
import { replicateRxCollection } from 'rxdb/plugins/replication';
import { getRxStorageDexie } from 'rxdb/plugins/storage-dexie';
import { allRecords, each, expect, items, upload } from '../page/items.mjs';
import { key, PAGE_SIZE, PUSH_BATCH, sideOf } from '../page/side.mjs';

const SCHEMA = {
  version: 0,
  primaryKey: 'key',
  type: 'object',
  properties: {
    key: { type: 'string', maxLength: 100 },
    parent: { type: 'string', maxLength: 40 },
    data: { type: 'object' },
  },
  required: ['key', 'parent', 'data'],
  indexes: ['parent'],
};

// Its replication pushes and downloads, and is ended when the clock has stopped: those two are its own.
const side = sideOf({
  open,
  close: (database) => database.close(),
  saveAll,
  countAll,
  find: (database, entity, id) => database.records.findOne(key(entity, id)).exec(),
});
export const { save, coldStart } = side;

export function push({ user, count }) {
  return side.within(user, async (database) => {
    await saveAll(database, items(count), true);
    let sent = 0;
    const handler = async (rows) => {
      await upload(rows.map(({ newDocumentState: { data } }) => ({ id: data.id, kind: 'create', data })));
      sent += rows.length;
      // No conflicts.
      return [];
    };
    const took = await replicate(database.records, { push: { handler, batchSize: PUSH_BATCH } });
    expect(sent, count, 'operations sent');
    expect(await countAll(database), count, 'records sent');
    return took;
  });
}

export function download({ user, count }) {
  return side.within(user, async (database) => {
    let all;
    const handler = async (checkpoint, limit) => {
      all ??= (await allRecords()).map((record) => ({ ...row(record), _deleted: false }));
      const first = checkpoint?.next ?? 0;
      return { documents: all.slice(first, first + limit), checkpoint: { next: first + limit } };
    };
    const took = await replicate(database.records, { pull: { handler, batchSize: PAGE_SIZE } });
    expect(await countAll(database), count, 'records downloaded');
    return took;
  });
}

async function open(user) {
  const storage = getRxStorageDexie({ chromeTransactionDurability: 'strict' });
  const database = await createRxDatabase({ name: `rxdb-${user.toLowerCase()}`, storage, multiInstance: false });
  await database.addCollections({ records: { schema: SCHEMA } });
  return database;
}

function saveAll(database, all, overlapping) {
  return each(all, overlapping, (record) => database.records.insert(row({ entity: 'item', ...record })));
}

function countAll(database) {
  return database.records.count().exec();
}

async function replicate(collection, directions) {
  const start = performance.now();
  const identifier = { collection, replicationIdentifier: 'bench', live: false, waitForLeadership: false };
  const replication = replicateRxCollection({ ...identifier, ...directions });
  const failed = new Promise((_, reject) => {
    replication.error$.subscribe(reject);
  });
  await Promise.race([replication.awaitInitialReplication(), failed]);
  const took = performance.now() - start;
  await replication.cancel();
  return took;
}

function row(record) {
  return { key: key(record.entity, record.id), parent: record.parentId ?? '', data: record };
}
