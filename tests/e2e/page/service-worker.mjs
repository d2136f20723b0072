/**
 * The service worker of the end-to-end tests, as an app would write its own. The page put who is signed in where a worker
 * finds it, and `/told` hears what the browser was told of each event.
 */
import { installFieldSync } from '/package/dist/service-worker.js';

const tell = (what) => fetch('/told', { method: 'POST', body: what });

/** The worker's scope, with an ear at `waitUntil`. */
const scope = {
  addEventListener: (type, listener) =>
    self.addEventListener(type, (event) => {
      const waitUntil = (done) =>
        event.waitUntil(Promise.all([tell(`waits: ${event.tag}`), done.finally(() => told(done))]));
      listener({ tag: event.tag, waitUntil });
    }),
};

async function told(done) {
  await tell(
    await done.then(
      () => 'resolved',
      ({ code, message }) => `rejected: ${code ?? message}`,
    ),
  );
}

async function signedIn() {
  await tell('begun');
  const stored = await (await caches.open('session')).match('/signed-in');
  const users = stored ? await stored.json() : [];
  return users.map(({ token, ...settings }) => ({ ...settings, token: () => token }));
}

// A bundled worker has no address beside which the module could lie.
const wasm = new URL(self.location.href).searchParams.get('wasm') ?? undefined;
installFieldSync(scope, signedIn, { wasm });

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
