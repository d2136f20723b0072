/**
 * workbox-background-sync: a queue of requests and nothing else. A save is one queued request, without a record; a push
 * replays them, one request each. Its home is a service worker; here it runs in the page. Relaxed by default.
 */
import { Queue } from 'workbox-background-sync';
import { each, expect, items } from '../page/items.mjs';

export const ONE_REQUEST_EACH = true;

export function save({ user, count, overlapping }) {
  return saveAll(queue(user), items(count), overlapping);
}

export async function push({ user, count }) {
  const waiting = queue(user);
  await saveAll(waiting, items(count), true);
  const start = performance.now();
  await waiting.replayRequests();
  const took = performance.now() - start;
  expect(await waiting.size(), 0, 'operations left');
  return took;
}

function queue(user) {
  // What a service worker has and a page does not; without `sync` in it, the queue begins by calling `onSync`.
  globalThis.registration ??= { scope: location.href };
  return new Queue(user, { onSync: () => {} });
}

function saveAll(waiting, all, overlapping) {
  return each(all, overlapping, (record) => {
    const body = JSON.stringify({ operations: [{ id: record.id, kind: 'create', data: record }] });
    return waiting.pushRequest({ request: new Request('/raw/upload', { method: 'POST', body }) });
  });
}
