/**
 * A device whose app has a service worker, and the browser's side of it: events that are fired, a worker that is stopped.
 */
import { EventEmitter, once } from 'node:events';
import { openTab } from './support-stage.mjs';

/** A worker that says nothing for so long will not. */
const LIMIT_MS = 30_000;

/**
 * Takes `/told`, where the worker says what becomes of its events. `begun()` waits for the next that begins, `ended()` for
 * the next that ends and gives how; `words` is all that was said.
 */
export function openEar() {
  const said = new EventEmitter();
  const words = [];
  const answer = async (request, response) => {
    if (request.url !== '/told') return false;
    let word = '';
    for await (const part of request) word += part;
    response.writeHead(204).end();
    words.push(word);
    said.emit(/^re(solved|jected)/.test(word) ? 'ended' : word, word);
    return true;
  };
  const next = async (what) => (await once(said, what, { signal: AbortSignal.timeout(LIMIT_MS) }))[0];
  return { answer, words, begun: () => next('begun'), ended: () => next('ended') };
}

/** Opens a browser context with a page of the app, its client open and a worker registered. */
export async function openWorkerDevice(stage, { user, script = '/service-worker.mjs', more, before }) {
  const { context } = await stage.device();
  if (before) await context.addInitScript(before);
  const troubles = [];
  const settings = await stage.settings(user, more);
  const open = async () => {
    const page = await openTab(context, stage.site.address, troubles);
    await page.evaluate(async (config) => void (await globalThis.app.open(config)), settings);
    return page;
  };
  // An empty page: it outlives those of the app, and is none of them.
  const control = await context.newPage();
  const cdp = await context.newCDPSession(control);
  const registered = new Promise((resolve) => {
    cdp.on('ServiceWorker.workerRegistrationUpdated', ({ registrations }) => {
      if (registrations.length > 0) resolve(registrations[0].registrationId);
    });
  });
  await cdp.send('ServiceWorker.enable');
  const driven = context.waitForEvent('serviceworker');
  const page = await open();
  const signIn = (users) => page.evaluate(([file, list]) => globalThis.app.register(file, list), [script, users]);
  await signIn([settings]);
  const registrationId = await registered;
  // Only from then on it goes offline with its pages.
  await driven;
  /** Fires the event, as the browser does when it takes the network to be back. */
  const fire = (tag = 'fieldsync') =>
    cdp.send('ServiceWorker.dispatchSyncEvent', { origin: stage.site.address, registrationId, tag, lastChance: false });
  const stop = () => cdp.send('ServiceWorker.stopAllWorkers');
  return { context, page, open, fire, stop, signIn, settings, troubles };
}
