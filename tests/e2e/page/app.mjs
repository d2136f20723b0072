/**
 * The page's side of the end-to-end tests: the package as any page would use it, within reach of the driver.
 *
 * `globalThis.app.open` gives the client; what a test does with it is written in the test.
 */
import * as fieldsync from 'fieldsync';

const app = {
  fieldsync,
  client: undefined,
  /** What the token provider gives. A test may put another here. */
  token: null,

  async open({ token, ...settings }) {
    app.token = token;
    app.client = await fieldsync.FieldSync.open({ ...settings, token: () => app.token });
    return app.client;
  },

  /** Registers a service worker and leaves for it who is signed in: settings, each with its token. */
  async register(script, users) {
    await (await caches.open('session')).put('/signed-in', new Response(JSON.stringify(users)));
    await navigator.serviceWorker.register(script, { type: script.includes('.mjs') ? 'module' : 'classic' });
    await navigator.serviceWorker.ready;
  },

  /** Waits until the client's status is as wanted: now, or at one of its next status events. */
  when(wanted) {
    return new Promise((resolve) => {
      const look = () => {
        const status = app.client.engine.status();
        if (!wanted(status)) return;
        stop();
        resolve(status);
      };
      const stop = app.client.on('status', look);
      look();
    });
  },

  /** Resolves when nothing is left to send and no session runs. */
  settled: () => app.when((status) => status.pending === 0 && status.state !== 'syncing'),

  /** The code and details of what a call is refused with; fails when it is not. */
  async refusal(call) {
    let value;
    try {
      value = await call();
    } catch (error) {
      if (!(error instanceof fieldsync.FieldSyncError)) throw error;
      return { code: error.code, path: error.details.path, retryable: error.retryable };
    }
    throw new Error(`it was taken: ${JSON.stringify(value)}`);
  },
};

globalThis.app = app;
document.documentElement.dataset.ready = 'yes';
