/**
 * The page's side of the tests in browsers: the package as any page would use it, within reach of the driver.
 *
 * `globalThis.app.open` gives the client; what a test does with it is written in the test. The rest is what the browser
 * has beneath it: its databases, its connections to them, its timers.
 */
import * as fieldsync from 'fieldsync';

/** What has not come by then will not. */
const LIMIT_MS = 10_000;
/** The browser's own, whatever a test puts in their place. */
const { setTimeout, clearTimeout } = globalThis;

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

  /** Opens a client whose database is not there yet, and gives the name of that. */
  async openNew(settings) {
    const before = await databaseNames();
    await app.open(settings);
    return (await databaseNames()).find((name) => !before.includes(name));
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

  /** What a promise gives, unless that takes too long. */
  limited(promise, what) {
    let timer;
    const limit = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${what}: not after ${LIMIT_MS} ms`)), LIMIT_MS);
    });
    return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
  },

  /** What a request to open or delete a database gives. Nobody may be in its way. */
  requested(request) {
    return new Promise((resolve, reject) => {
      request.onblocked = () => reject(new Error('blocked'));
      request.onerror = () => reject(request.error);
      request.onsuccess = () => resolve(request.result);
    });
  },

  /** Watches the connections that are opened from now on. `allClosed()` resolves when none of them is open. */
  watchConnections() {
    const connections = new Set();
    let heard = () => {};
    const { open } = IDBFactory.prototype;
    IDBFactory.prototype.open = function (...args) {
      const request = open.apply(this, args);
      request.addEventListener('success', () => connections.add(request.result));
      return request;
    };
    const { close } = IDBDatabase.prototype;
    IDBDatabase.prototype.close = function () {
      close.call(this);
      connections.delete(this);
      heard();
    };
    const allClosed = () =>
      new Promise((resolve) => {
        heard = () => connections.size === 0 && resolve();
        heard();
      });
    return { allClosed };
  },

  /**
   * Keeps every timer of at least so long that is set from now on. `set()` resolves when one is kept; `fire()` lets those
   * that are kept end, and gives how long each was to be.
   */
  holdTimers(fromMs) {
    const held = new Map();
    let last = 0;
    let heard = () => {};
    globalThis.setTimeout = (run, waitMs = 0, ...more) => {
      if (waitMs < fromMs) return setTimeout(run, waitMs, ...more);
      last -= 1;
      held.set(last, { waitMs, run: () => run(...more) });
      heard();
      return last;
    };
    globalThis.clearTimeout = (id) => void (held.delete(id) || clearTimeout(id));
    const set = () =>
      new Promise((resolve) => {
        heard = () => held.size > 0 && resolve();
        heard();
      });
    const fire = () => {
      const ended = [...held.values()];
      held.clear();
      for (const { run } of ended) run();
      return ended.map(({ waitMs }) => waitMs);
    };
    return { set, fire };
  },
};

const databaseNames = async () => (await indexedDB.databases()).map(({ name }) => name);

globalThis.app = app;
document.documentElement.dataset.ready = 'yes';
