/**
 * Ten thousand conflicts in one database: two devices change the same records, and the one that comes second looks
 * through what it met. Everything is what the package stores; only the raw side reads its rows by itself.
 */
import { measured } from './counting.mjs';
import { batches, expect, items } from './items.mjs';
import { databaseName, succeeded, within } from './ours.mjs';
import { finished } from './raw.mjs';

/** Writes that are begun at once. */
const AT_ONCE = 500;
const PAGE = 50;

async function inBatches(all, job) {
  for (const some of batches(all, AT_ONCE)) await Promise.all(some.map(job));
}

/** The records, made by one device for both. */
export function fill({ user, count }) {
  return within(user, async (client) => {
    const all = items(count, () => client.tempIds.generateTempId('item'));
    await inBatches(all, (item) => client.create('item', { ...item, parentId: null }));
    succeeded(await client.engine.sync());
  });
}

/**
 * This device's word on each record; one that has none downloads them first. Gives how many conflicts its session met,
 * and the milliseconds of that session.
 */
export function change({ user, count, amount }) {
  return within(user, async (client) => {
    if ((await client.count('item')) === 0) succeeded(await client.engine.sync());
    const all = await client.query('item');
    expect(all.length, count, 'records to change');
    await inBatches(all, ({ id }) => client.update('item', id, { amount }));
    const start = performance.now();
    const result = await client.engine.sync();
    const took = performance.now() - start;
    succeeded(result);
    return { took, conflicts: result.conflicts };
  });
}

/** What an app would do by itself with the same rows: the last fifty, and counts of all. */
async function rawSides() {
  const database = await finished(indexedDB.open(await databaseName()));
  const rows = () => database.transaction('conflicts').objectStore('conflicts');
  const page = () =>
    new Promise((resolve, reject) => {
      const found = [];
      const request = rows().openCursor(null, 'prev');
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        const cursor = request.result;
        if (cursor) found.push(cursor.value);
        if (!cursor || found.length === PAGE) resolve(found);
        else cursor.continue();
      };
    });
  const statistics = async () => {
    const counts = { total: 0, open: 0, resolved: 0, undone: 0 };
    for (const { v } of await finished(rows().getAll())) {
      counts.total += 1;
      counts[v.state] += 1;
    }
    return counts;
  };
  return { page, statistics, close: () => database.close() };
}

/** For each thing that is done with them its rounds: `{name, rounds: [{took, ...}], raw: [ms]}`. */
export function conflicts({ user, count, rounds }) {
  return within(user, async (client) => {
    const { conflicts, engine } = client;
    const raw = await rawSides();
    const found = [];
    const run = async (name, job, check, rawJob) => {
      const entry = { name, rounds: [], raw: [] };
      for (let round = 0; round < rounds; round++) {
        const { gave, ...cost } = await measured(client, () => job(round));
        check(gave);
        entry.rounds.push(cost);
        if (rawJob) entry.raw.push((await measured(client, rawJob)).took);
      }
      found.push(entry);
    };
    const some = (wanted) => (list) => expect(list.length, wanted, 'conflicts found');
    const counted = ({ total }) => expect(total, count, 'conflicts counted');
    await run('a page of 50', () => conflicts.list({ limit: PAGE, order: 'desc' }), some(PAGE), raw.page);
    const filter = { entity: 'item', state: 'open', limit: PAGE };
    await run('50 by entity and state', () => conflicts.list(filter), some(PAGE));
    await run('statistics', () => conflicts.statistics(), counted, raw.statistics);
    await run('statistics of an entity', () => conflicts.statistics({ entity: 'item' }), counted);
    const [{ operation }, ...others] = await conflicts.list({ limit: rounds + 1 });
    await run(
      'detectConflicts',
      () => engine.detectConflicts(operation),
      ({ state }) => expect(state, 'open', 'found'),
    );
    const none = () => undefined;
    await run('resolveConflict', (round) => engine.resolveConflict(others[round], 'client-wins'), none);
    const rare = { entity: 'item', state: 'resolved', limit: PAGE };
    await run('few by entity and state', () => conflicts.list(rare), some(rounds));
    found.push(...(await decideAll(client, count - rounds)));
    expect((await conflicts.statistics()).open, 0, 'conflicts left');
    raw.close();
    return found;
  });
}

/** All of them by one decision, until the first progress and until the end. */
async function decideAll(client, count) {
  let first;
  const start = performance.now();
  const onProgress = () => {
    first ??= performance.now() - start;
  };
  const { gave, ...cost } = await measured(client, () =>
    client.conflicts.bulkResolve('server-wins', {}, { onProgress }),
  );
  expect(gave.resolved.length, count, 'conflicts decided');
  return [
    { name: 'bulkResolve, first progress', rounds: [{ took: first }], raw: [] },
    { name: `bulkResolve of ${count}`, rounds: [cost], raw: [] },
  ];
}
