/**
 * TanStack offline-transactions: a collection in memory and an outbox in IndexedDB (relaxed by default). A save counts
 * when its transaction is in the outbox, of which it tells only its storage; a push is one request for each transaction,
 * as its executor runs them. It stores no records, so it has no download and no cold start.
 */
import { createCollection, localOnlyCollectionOptions } from '@tanstack/db';
import { IndexedDBAdapter, startOfflineExecutor } from '@tanstack/offline-transactions';
import { each, expect, items, upload } from '../page/items.mjs';
import { timed } from '../page/side.mjs';

export const ONE_REQUEST_EACH = true;

/** Its storage, which says when a transaction is in it. */
class Outbox extends IndexedDBAdapter {
  waiting = new Map();

  stored(id) {
    return new Promise((resolve) => this.waiting.set(`tx:${id}`, resolve));
  }

  async set(key, value) {
    await super.set(key, value);
    this.waiting.get(key)?.();
  }
}

export async function save({ user, count, overlapping }) {
  const { executor, saveAll } = await open(user);
  const all = items(count);
  const took = await timed(() => saveAll(all, overlapping));
  expect(await unsent(executor), count, 'operations saved');
  executor.dispose();
  return took;
}

export async function push({ user, count }) {
  const { executor, saveAll, online } = await open(user);
  const transactions = await saveAll(items(count), true);
  expect(await unsent(executor), count, 'operations to send');
  const took = await timed(() => {
    online();
    return Promise.all(transactions.map(({ isPersisted }) => isPersisted.promise));
  });
  expect(await unsent(executor), 0, 'operations left');
  executor.dispose();
  return took;
}

async function unsent(executor) {
  return (await executor.peekOutbox()).length;
}

async function open(user) {
  const collection = createCollection(localOnlyCollectionOptions({ id: 'item', getKey: ({ id }) => id }));
  const storage = new Outbox(`tanstack-${user}`);
  const listeners = new Set();
  let isOnline = false;
  const executor = startOfflineExecutor({
    collections: { item: collection },
    storage,
    mutationFns: {
      send: async ({ transaction }) => {
        await upload(
          transaction.mutations.map(({ modified }) => ({ id: modified.id, kind: 'create', data: modified })),
        );
        collection.utils.acceptMutations(transaction);
      },
    },
    onlineDetector: {
      isOnline: () => isOnline,
      subscribe: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      notifyOnline: () => {},
      dispose: () => {},
    },
  });
  await executor.waitForInit();
  const online = () => {
    isOnline = true;
    for (const listener of listeners) listener();
  };
  const saveAll = async (all, overlapping) => {
    const transactions = [];
    await each(all, overlapping, async (record) => {
      const offline = executor.createOfflineTransaction({ mutationFnName: 'send' });
      const stored = storage.stored(offline.id);
      transactions.push(offline.mutate(() => collection.insert(record)));
      await stored;
    });
    return transactions;
  };
  return { executor, saveAll, online };
}
