/** The frame that the sides share: a database is open before the clock starts, and looked at when it has stopped. */
import { allRecords, expect, items } from './items.mjs';

/** Operations in a request. */
export const PUSH_BATCH = 500;
/** Records in a transaction of a download. */
export const PAGE_SIZE = 1000;

/** A record's key, for a side whose keys are one text. */
export function key(entity, id) {
  return `${entity}/${id}`;
}

/** Milliseconds that a job takes. */
export async function timed(job) {
  const start = performance.now();
  await job();
  return performance.now() - start;
}

/**
 * The jobs of a side, each in milliseconds, and `within` for those that it has besides. `open` and `find` are the cold
 * start; `ready` is for a side that is not done opening when `open` is. What is timed beside them is `saveAll(database,
 * records, overlapping)`, `sendAll(database)` and, with the request for the records, `storeAll(database, records)`.
 */
export function sideOf({ open, ready = open, close, saveAll, sendAll, storeAll, countAll, countUnsent, find }) {
  const within = async (user, job) => {
    const database = await ready(user);
    try {
      return await job(database);
    } finally {
      await close(database);
    }
  };

  const save = ({ user, count, overlapping }) =>
    within(user, async (database) => {
      const all = items(count);
      const took = await timed(() => saveAll(database, all, overlapping));
      expect(await countAll(database), count, 'records saved');
      return took;
    });

  const push = ({ user, count }) =>
    within(user, async (database) => {
      await saveAll(database, items(count), true);
      const took = await timed(() => sendAll(database));
      expect(await countUnsent(database), 0, 'operations left');
      expect(await countAll(database), count, 'records sent');
      return took;
    });

  const download = ({ user, count }) =>
    within(user, async (database) => {
      const took = await timed(async () => storeAll(database, await allRecords()));
      expect(await countAll(database), count, 'records downloaded');
      return took;
    });

  /** From nothing open to the first record read. */
  const coldStart = async ({ user, entity, id }) => {
    const start = performance.now();
    const database = await open(user);
    const found = await find(database, entity, id);
    const took = performance.now() - start;
    await close(database);
    if (!found) throw new Error('the cold start found nothing');
    return took;
  };

  return { within, save, push, download, coldStart };
}
