/** FieldSync, from the packed package. Every function gives milliseconds; `user` names a database of its own. */
import { FieldSync } from 'fieldsync';
import { each, expect, items } from './items.mjs';
import { timed } from './side.mjs';

let settings;
let tokens;

export function setup(given) {
  ({ tokens, ...settings } = given);
}

export function save({ user, count, overlapping }) {
  return within(user, async (client) => {
    const all = drafts(client, count);
    const took = await timed(() => createAll(client, all, overlapping));
    expect(await countAll(client), count, 'records saved');
    return took;
  });
}

export function push({ user, count }) {
  return within(user, async (client) => {
    await createAll(client, drafts(client, count), true);
    let result;
    const took = await timed(async () => {
      result = await client.engine.syncToServer();
    });
    succeeded(result);
    expect(result.synced, count, 'operations sent');
    expect((await client.queue.list()).length, 0, 'operations left');
    expect(await countAll(client), count, 'records sent');
    return took;
  });
}

export function cascade({ user, count }) {
  return within(user, async (client) => {
    const parent = client.tempIds.generateTempId('item');
    // The parent is not created here: only the server's answer may name a record that is on its way.
    const children = Array.from({ length: count }, () => client.create('item', { parentId: parent, title: 'x' }));
    await Promise.all(children);
    const took = await timed(() => client.tempIds.mapTempToReal(parent, 1_000_000));
    expect(await client.count('item', { where: { parentId: 1_000_000 } }), count, 'the cascade reached');
    return took;
  });
}

export function download({ user, count }) {
  return within(user, async (client) => {
    const took = await timed(async () => succeeded(await client.engine.syncFromServer()));
    expect(await countAll(client), count, 'records downloaded');
    return took;
  });
}

/** In a page that was just loaded, on databases that an earlier page filled. */
export async function coldStart({ user, entity, id }) {
  const start = performance.now();
  const client = await open(user);
  const found = await client.get(entity, id);
  const took = performance.now() - start;
  await client.close();
  if (found === undefined) throw new Error('the cold start found nothing');
  return took;
}

/** What is timed touches no database, so nobody else has this. */
export function graph({ user, count }) {
  return within(user, async (client) => {
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
    expect(sorted.length, count, 'operations sorted');
    return took;
  });
}

/** The name of the only database of a client that this profile has. */
export async function databaseName() {
  const all = await indexedDB.databases();
  return all.map(({ name }) => name).find((name) => name.startsWith('fieldsync/1/'));
}

function open(user) {
  return FieldSync.open({ ...settings, user, autoSync: false, token: () => tokens[user] });
}

export async function within(user, job) {
  const client = await open(user);
  try {
    return await job(client);
  } finally {
    await client.close();
  }
}

function drafts(client, count) {
  return items(count, () => client.tempIds.generateTempId('item'));
}

function createAll(client, all, overlapping) {
  return each(all, overlapping, (item) => client.create('item', item));
}

async function countAll(client) {
  const counts = await Promise.all(Object.keys(settings.schema.entities).map((entity) => client.count(entity)));
  return counts.reduce((sum, each) => sum + each, 0);
}

export function succeeded({ success, errors }) {
  if (!success) throw new Error(`a session failed: ${JSON.stringify(errors)}`);
}
