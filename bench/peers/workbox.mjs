/**
 * workbox-background-sync: a queue of requests and nothing else. A save is one queued request, without a record; a push
 * replays them, one request each. Its home is a service worker; here it runs in the page. Relaxed by default.
 */
import { Queue } from 'workbox-background-sync';
import { each, expect, items } from '../page/items.mjs';
import { timed } from '../page/side.mjs';

export const ONE_REQUEST_EACH = true;

export async function save({ user, count, overlapping }) {
  const waiting = queue(user);
  const all = items(count);
  const took = await timed(() => saveAll(waiting, all, overlapping));
  expect(await waiting.size(), count, 'operations saved');
  return took;
}

export async function push({ user, count }) {
  const waiting = queue(user);
  await saveAll(waiting, items(count), true);
  const took = await timed(() => waiting.replayRequests());
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
