/**
 * The service worker sends what pages left unsent: after the last of them closed, beside one that sends, and again after
 * it was stopped in the middle. What counts is what lies in the server's database file, and what a later page shows.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { build } from 'esbuild';
import { onceFaults } from './support-server.mjs';
import { openStage, TENANT } from './support-stage.mjs';
import { openEar, openWorkerDevice } from './support-worker.mjs';

describe('the service worker', { timeout: 180_000 }, () => {
  let stage;
  let ear;
  const operations = [];

  before(async () => {
    ear = openEar();
    let bundle;
    stage = await openStage({
      answer: async (request, response) => {
        const script = async (text) => {
          response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(await text);
          return true;
        };
        if (request.url === '/guide.mjs') return script(guideWorker());
        if (request.url.startsWith('/bundled.js')) {
          bundle ??= await bundled(stage.site.unpacked);
          return script(bundle);
        }
        const text = await session(request);
        if (text === undefined) return ear.answer(request, response);
        response.writeHead(200, { 'Content-Type': 'text/plain' }).end(text);
        return true;
      },
    });
  });
  afterEach(() => {
    stage.gateway.handler = (exchange) => exchange.pass();
  });
  after(() => stage?.close());

  /** What the app's own server says in the guide. */
  async function session({ url }) {
    const { token, tenant, user, schema } = await stage.settings('guide');
    const answers = {
      '/api/session': JSON.stringify({ tenant, user }),
      '/schema.json': JSON.stringify(schema),
      '/api/token': token,
    };
    return answers[url];
  }

  /** Saves clients of these names. */
  async function save(page, names) {
    const made = await page.evaluate(async (list) => {
      const saves = list.map((name) => globalThis.app.client.create('client', { name }));
      return (await Promise.all(saves)).map(({ operationId }) => operationId);
    }, names);
    operations.push(...made);
    return made;
  }

  const sync = (page) => page.evaluate(() => globalThis.app.client.engine.sync());
  const queue = (page) => page.evaluate(() => globalThis.app.client.queue.list());
  const shown = (page) =>
    page.evaluate(async () =>
      (await globalThis.app.client.query('client', { orderBy: 'name' })).map(({ id, name }) => [typeof id, name]),
    );
  /** Waits until the browser has the tag: no event tells of it. */
  const asked = (page) =>
    page.evaluate(async () => {
      const { sync: manager } = await navigator.serviceWorker.ready;
      while (!(await manager.getTags()).includes('fieldsync')) await new Promise(requestAnimationFrame);
    });

  test('what was written offline is sent when the network is back, though every page is closed', async () => {
    const device = await openWorkerDevice(stage, { user: 'anna', more: { autoSync: true } });
    await device.page.evaluate(() => globalThis.app.settled());
    await device.context.setOffline(true);
    await save(device.page, ['offline 1', 'offline 2', 'offline 3']);
    await asked(device.page);
    await device.page.close();
    const from = stage.gateway.uploads().length;

    const done = ear.ended();
    await device.context.setOffline(false);
    assert.equal(await done, 'resolved');
    assert.deepEqual(stage.gateway.sent(from), operations.slice(-3));

    const later = await device.open();
    assert.deepEqual(await queue(later), []);
    assert.deepEqual(await shown(later), [
      ['number', 'offline 1'],
      ['number', 'offline 2'],
      ['number', 'offline 3'],
    ]);
    assert.deepEqual(device.troubles, []);
  });

  test('a page that is hidden with unsent work asks for the worker', async () => {
    const device = await openWorkerDevice(stage, { user: 'bea', more: { autoSync: true } });
    await device.page.evaluate(() => globalThis.app.settled());
    // The answer never comes, so that no session has failed: only the hiding can ask.
    const reached = stage.gateway.holdUpload();
    await save(device.page, ['put away']);
    const release = await reached;
    const begun = ear.begun();
    const done = ear.ended();
    await device.page.evaluate(() => {
      Object.defineProperty(document, 'visibilityState', { value: 'hidden' });
      document.dispatchEvent(new Event('visibilitychange'));
    });
    await begun;
    release();
    assert.equal(await done, 'resolved');
  });

  test('page and worker at the same time: each operation goes once, whoever is first', async () => {
    const device = await openWorkerDevice(stage, { user: 'carl' });
    const from = stage.gateway.uploads().length;
    const first = await save(device.page, ['page first 1', 'page first 2']);
    let reached = stage.gateway.holdUpload();
    const pageSends = sync(device.page);
    let release = await reached;
    let begun = ear.begun();
    let done = ear.ended();
    await device.fire();
    await begun;
    release();
    assert.equal((await pageSends).synced, 2);
    assert.equal(await done, 'resolved');

    const second = await save(device.page, ['worker first 1', 'worker first 2']);
    reached = stage.gateway.holdUpload();
    begun = ear.begun();
    done = ear.ended();
    await device.fire();
    release = await reached;
    await begun;
    const pageWaits = sync(device.page);
    release();
    assert.equal(await done, 'resolved');
    const waited = await pageWaits;
    assert.deepEqual([waited.success, waited.synced], [true, 0]);
    assert.deepEqual(stage.gateway.sent(from), [...first, ...second]);
    assert.deepEqual(await queue(device.page), []);
  });

  test('a worker that is stopped between the commit and the answer loses nothing: the next one sends the same again', async () => {
    const device = await openWorkerDevice(stage, { user: 'dora' });
    const made = await save(device.page, ['stopped 1', 'stopped 2']);
    await device.page.close();
    const from = stage.gateway.uploads().length;
    const { promise: committed, resolve: commit } = resolvable();
    stage.gateway.handler = async (exchange) => {
      if (exchange.endpoint !== 'upload') return exchange.pass();
      const answer = await exchange.forward();
      commit(answer.status);
      // Held until the worker is gone: this answer reaches nobody.
      await exchange.gone;
    };
    await device.fire();
    assert.equal(await committed, 200);
    await device.stop();
    stage.gateway.handler = (exchange) => exchange.pass();

    const later = await device.open();
    const left = await queue(later);
    assert.deepEqual(
      left.map(({ operationId, sealed }) => [operationId, sealed]),
      made.map((id) => [id, true]),
    );
    const done = ear.ended();
    await device.fire();
    assert.equal(await done, 'resolved');
    assert.deepEqual(stage.gateway.sent(from), [...made, ...made]);
    // The worker tells the pages: this one learns of it without a session of its own.
    await later.evaluate(() => globalThis.app.settled());
    assert.deepEqual(await queue(later), []);
  });

  test('the browser is told to try again exactly where a later try could send something', async () => {
    const device = await openWorkerDevice(stage, { user: 'emil' });
    const other = await stage.settings('fay');
    const fires = async () => {
      const ended = ear.ended();
      await device.fire();
      return ended;
    };
    const requests = () => stage.gateway.requests.length;

    let from = requests();
    assert.equal(await fires(), 'resolved', 'nothing waits');
    await device.signIn([]);
    assert.equal(await fires(), 'resolved', 'nobody is signed in');
    assert.equal(requests(), from, 'and nothing was asked of the server');

    await device.signIn([device.settings, other]);
    await save(device.page, ['emil']);
    stage.gateway.handler = (exchange) => exchange.cut();
    assert.equal(await fires(), 'rejected: network');
    stage.gateway.handler = (exchange) => exchange.pass();
    await device.signIn([{ ...device.settings, token: null }]);
    assert.equal(await fires(), 'rejected: auth_required');

    // The first of the two has no token, and keeps the second back in nothing.
    await device.page.evaluate(async (config) => {
      const { FieldSync } = globalThis.app.fieldsync;
      const fay = await FieldSync.open({ ...config, token: () => null });
      await fay.create('client', { name: 'fay' });
      await fay.close();
    }, other);
    await device.signIn([{ ...other, token: null }, device.settings]);
    assert.equal(await fires(), 'rejected: auth_required');
    assert.deepEqual(await queue(device.page), []);

    await device.signIn([device.settings]);
    await device.page.evaluate(() => globalThis.app.client.create('pet', { name: 'Tom', clientId: 4711 }));
    assert.equal(await fires(), 'resolved', 'the server refuses it for good: a person has to look');
    from = requests();
    assert.equal(await fires(), 'resolved');
    assert.equal(requests(), from, 'what is parked is not asked for again');

    await device.page.evaluate(async () => {
      await globalThis.app.client.engine.pause();
      await globalThis.app.client.create('client', { name: 'later' });
    });
    assert.equal(await fires(), 'resolved', 'a person paused it');
  });

  test('another tag is another’s', async () => {
    const device = await openWorkerDevice(stage, { user: 'gus' });
    await save(device.page, ['gus']);
    const from = ear.words.length;
    await device.fire('somebody-else');
    const done = ear.ended();
    await device.fire();
    assert.equal(await done, 'resolved');
    // Both events have come by now, this one last.
    assert.deepEqual(
      ear.words.slice(from).filter((word) => word.startsWith('waits')),
      ['waits: fieldsync'],
    );
  });

  test('a worker that a bundler made classic, with the module named by its address, sends too', async () => {
    const script = `/bundled.js?wasm=${encodeURIComponent('/package/dist/wasm/fieldsync_bg.wasm')}`;
    const device = await openWorkerDevice(stage, { user: 'hal', script });
    const made = await save(device.page, ['bundled']);
    await device.page.close();
    const from = stage.gateway.uploads().length;
    const done = ear.ended();
    await device.fire();
    assert.equal(await done, 'resolved');
    assert.deepEqual(stage.gateway.sent(from), made);
  });

  test('the worker of docs/service-worker.md sends, as it stands there', async () => {
    const device = await openWorkerDevice(stage, { user: 'guide', script: '/guide.mjs' });
    const made = await save(device.page, ['by the guide']);
    await device.page.close();
    const from = stage.gateway.uploads().length;
    const done = ear.ended();
    await device.fire();
    assert.equal(await done, 'resolved');
    assert.deepEqual(stage.gateway.sent(from), made);
  });

  test('without Background Sync nothing breaks, and the page sends when the network is back', async () => {
    const device = await openWorkerDevice(stage, {
      user: 'ida',
      more: { autoSync: true },
      before: () => {
        delete ServiceWorkerRegistration.prototype.sync;
        delete globalThis.SyncManager;
      },
    });
    await device.page.evaluate(() => globalThis.app.settled());
    await device.context.setOffline(true);
    await save(device.page, ['by the page']);
    await device.page.evaluate(() => globalThis.app.when(({ state }) => state === 'error'));
    await device.context.setOffline(false);
    await device.page.evaluate(() => globalThis.app.settled());
    assert.deepEqual(await queue(device.page), []);
    assert.deepEqual(device.troubles, []);
  });

  test('on the disk of the server: each operation once', async () => {
    const { integrity, ...database } = await stage.server.content(TENANT);
    // Refused for good, and so with a receipt but without a change; and the second user's, which nobody sent.
    const names = database.records.map(({ data }) => data.name).filter((name) => name !== 'Tom');
    assert.equal(names.length, operations.length);
    const known = new Set(operations);
    const mine = ({ operation }) => known.has(operation);
    const own = { ...database, changes: database.changes.filter(mine), receipts: database.receipts.filter(mine) };
    assert.deepEqual(onceFaults({ integrity, ...own }, operations), []);
  });
});

function resolvable() {
  let resolve;
  const promise = new Promise((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** The guide's complete worker with the import that it names for the unbundled case, and an ear at its events. */
async function guideWorker() {
  const guide = await readFile(new URL('../../docs/service-worker.md', import.meta.url), 'utf8');
  const [, code] = /^```js\n(.*?)^```$/ms.exec(guide);
  const unbundled = '/node_modules/fieldsync/dist/service-worker.js';
  assert.ok(guide.includes(`from '${unbundled}'`) && code.includes("from 'fieldsync/service-worker'"));
  const ear = `
    const { waitUntil } = ExtendableEvent.prototype;
    const tell = (what) => fetch('/told', { method: 'POST', body: what });
    ExtendableEvent.prototype.waitUntil = function (done) {
      const told = done.then(() => 'resolved', (cause) => 'rejected: ' + (cause.code ?? cause)).then(tell);
      waitUntil.call(this, Promise.all([done, told]));
    };`;
  // Where the page of these tests has the package.
  return ear + code.replace('fieldsync/service-worker', '/package/dist/service-worker.js');
}

/** The worker's script as an app's bundler makes it: one classic file. */
async function bundled(unpacked) {
  const fromPackage = {
    name: 'package',
    setup: ({ onResolve }) =>
      onResolve({ filter: /^\/package\// }, ({ path }) => ({ path: join(unpacked, path.slice('/package/'.length)) })),
  };
  const { outputFiles } = await build({
    entryPoints: [new URL('page/service-worker.mjs', import.meta.url).pathname],
    ...{ bundle: true, format: 'iife', target: 'es2022', write: false, plugins: [fromPackage] },
    // The address is passed in, so that what esbuild empties is not used.
    logOverride: { 'empty-import-meta': 'silent' },
  });
  return outputFiles[0].text;
}
