/**
 * The page's side of the bench: the same job for the package and for raw IndexedDB. Times are taken here, where no
 * remote control is in between. Every job runs in databases of its own.
 */
import { FieldSync } from 'fieldsync';
import * as raw from './raw.mjs';

let settings;
let tokens;

/** Items that refer to the one before, in chains of ten. `temp` gives the n-th ID. */
function items(count, temp) {
  const ids = Array.from({ length: count }, (_, index) => temp(index));
  return ids.map((id, index) => ({
    id,
    parentId: index % 10 === 0 ? null : ids[index - 1],
    title: `Item ${index}`,
    amount: index * 1.25,
    done: index % 3 === 0,
    text: 'Some words that make a record about as long as records are. '.repeat(3),
  }));
}

const rawTemp = (index) => `temp_${index}`;

function open(user) {
  return FieldSync.open({ ...settings, user, autoSync: false, token: () => tokens[user] });
}

async function openRaw(user) {
  const database = await raw.openRaw(`raw-${user}`);
  return database;
}

async function create(client, count, overlapping) {
  const all = items(count, () => client.tempIds.generateTempId('item'));
  const start = performance.now();
  if (overlapping) await Promise.all(all.map((item) => client.create('item', item)));
  else for (const item of all) await client.create('item', item);
  return { took: performance.now() - start, all };
}

async function ours(user, job) {
  const client = await open(user);
  try {
    return await job(client);
  } finally {
    await client.close();
  }
}

async function theirs(user, job) {
  const database = await openRaw(user);
  try {
    return await job(database);
  } finally {
    database.close();
  }
}

function succeeded({ success, errors }) {
  if (!success) throw new Error(`a session failed: ${JSON.stringify(errors)}`);
}

globalThis.bench = {
  setup: (given) => {
    ({ tokens, ...settings } = given);
  },
  save: {
    ours: ({ user, count, overlapping }) =>
      ours(user, async (client) => (await create(client, count, overlapping)).took),
    raw: ({ user, count, overlapping }) =>
      theirs(user, (database) => raw.save(database, items(count, rawTemp), overlapping)),
  },
  push: {
    ours: ({ user, count }) =>
      ours(user, async (client) => {
        await create(client, count, true);
        const start = performance.now();
        succeeded(await client.engine.syncToServer());
        return performance.now() - start;
      }),
    raw: ({ user, count }) =>
      theirs(user, async (database) => {
        await raw.save(database, items(count, rawTemp), true);
        return raw.push(database);
      }),
  },
  cascade: {
    ours: ({ user, count }) =>
      ours(user, async (client) => {
        const parent = client.tempIds.generateTempId('item');
        // The parent is not created here: only the server's answer may name a record that is on its way.
        const children = Array.from({ length: count }, () => client.create('item', { parentId: parent, title: 'x' }));
        await Promise.all(children);
        const start = performance.now();
        await client.tempIds.mapTempToReal(parent, 1_000_000);
        const took = performance.now() - start;
        const moved = await client.count('item', { where: { parentId: 1_000_000 } });
        if (moved !== count) throw new Error(`the cascade reached ${moved} of ${count}`);
        return took;
      }),
    raw: ({ user, count }) =>
      theirs(user, async (database) => {
        const family = Array.from({ length: count + 1 }, (_, index) => ({ id: `temp_${index}`, title: 'x' }));
        await raw.save(
          database,
          family.map((item, index) => ({ ...item, parentId: index === 0 ? null : 'temp_0' })),
          true,
        );
        return raw.cascade(database, 'temp_0', 1_000_000);
      }),
  },
  download: {
    ours: ({ user, count }) =>
      ours(user, async (client) => {
        const start = performance.now();
        succeeded(await client.engine.syncFromServer());
        const took = performance.now() - start;
        const counts = await Promise.all(Object.keys(settings.schema.entities).map((entity) => client.count(entity)));
        const there = counts.reduce((sum, each) => sum + each, 0);
        if (there !== count) throw new Error(`${there} of ${count} records came`);
        return took;
      }),
    raw: ({ user }) => theirs(user, (database) => raw.download(database)),
  },
  /** In a page that was just loaded, on databases that an earlier page filled. */
  coldStart: {
    ours: async ({ user, entity, id }) => {
      const start = performance.now();
      const client = await open(user);
      const found = await client.get(entity, id);
      const took = performance.now() - start;
      await client.close();
      if (found === undefined) throw new Error('the cold start found nothing');
      return took;
    },
    raw: ({ user, entity, id }) => raw.coldStart(`raw-${user}`, entity, id),
  },
  /** Pure: no database, so there is no raw side. */
  graph: ({ user, count }) =>
    ours(user, async (client) => {
      // As lean as an operation can be: 100,000 of them pass the boundary as one text.
      const temp = (index) => `temp_1_${String(index).padStart(6, 'a')}_item`;
      const operations = Array.from({ length: count }, (_, index) => ({
        id: `01900000-0000-7000-8000-${String(index).padStart(12, '0')}`,
        seq: index + 1,
        entity: 'item',
        recordId: temp(index),
        kind: 'create',
        data: { parentId: index % 10 === 0 ? null : temp(index - 1) },
        state: 'pending',
        createdAt: 0,
      }));
      const start = performance.now();
      const nodes = client.relationships.buildDependencyGraph(operations.reverse());
      const sorted = client.relationships.topologicalSort(nodes);
      const took = performance.now() - start;
      if (sorted.length !== count) throw new Error(`${sorted.length} of ${count} operations were sorted`);
      return took;
    }),
};
document.documentElement.dataset.ready = 'yes';
