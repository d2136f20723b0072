/** The page that a driver opens: `rig.ask(context, message)` has a case run in that kind of realm. */
import { answer } from './rig.mjs';

const realms = {
  window: () => answer,
  worker: () => {
    const worker = new Worker('worker.mjs', { type: 'module' });
    return (message) =>
      new Promise((resolve, reject) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = (event) => reject(new Error(event.message || 'the worker did not start'));
        worker.postMessage(message);
      });
  },
  'service-worker': async () => {
    const before = await navigator.serviceWorker.getRegistration();
    // A realm whose instance is dead must not answer for the next case.
    await before?.unregister();
    const registration = await navigator.serviceWorker.register('service-worker.mjs', { type: 'module' });
    const worker = registration.installing ?? registration.waiting ?? registration.active;
    await new Promise((resolve, reject) => {
      const look = () => {
        if (worker.state === 'activated') resolve();
        if (worker.state === 'redundant') reject(new Error('the service worker did not start'));
      };
      worker.addEventListener('statechange', look);
      look();
    });
    return (message) => {
      const { port1, port2 } = new MessageChannel();
      worker.postMessage(message, [port2]);
      return new Promise((resolve) => {
        port1.onmessage = ({ data }) => resolve(data);
      });
    };
  },
};

const opened = {};

globalThis.rig = {
  /** What the realm answers. The first question opens it. */
  ask: async (context, message) => {
    opened[context] ??= realms[context]();
    const realm = await opened[context];
    return realm(message);
  },
};
document.documentElement.dataset.ready = 'yes';
