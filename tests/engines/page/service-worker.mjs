/** A service worker that runs cases, and lives until the case has ended. */
import { answer } from './rig.mjs';

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('message', (event) => {
  event.waitUntil(answer(event.data).then((result) => event.ports[0].postMessage(result)));
});
