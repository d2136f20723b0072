/**
 * The service worker's entry over a scripted engine: when it listens, what it asks the engine for, and what it tells the
 * browser. And the page's side: when a page asks for the event.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { FieldSync, installFieldSync, provide } from './package.mjs';
import { config, fault, scriptedModule } from './support.mjs';

const RESULT = { success: true, synced: 1, failed: 0, conflicts: 0, operations: [], errors: [], duration: 1 };
const item = (state) => ({ operationId: `of ${state}`, state });

describe('a worker', () => {
  let script;
  let world;
  let listeners;
  const worker = { addEventListener: (type, listener) => listeners.push([type, listener]) };

  beforeEach(() => {
    globalThis.indexedDB = {};
    listeners = [];
    script = {
      status: () => '{"pending":2}',
      sync: () => JSON.stringify(RESULT),
      queue: () => '[]',
    };
    world = scriptedModule(script);
    provide(world.module);
  });
  afterEach(() => {
    delete globalThis.indexedDB;
  });

  /** Installs with these users and fires the event: gives the promise that the browser waits for. */
  function fire(users, tag = 'fieldsync') {
    installFieldSync(worker, users);
    let waited;
    for (const [type, listener] of listeners) {
      assert.equal(type, 'sync');
      listener({ tag, waitUntil: (done) => (waited = done) });
    }
    return waited;
  }
  const methods = () => world.calls.map(([method]) => method);

  test('listens at once, and opens nothing before the event', () => {
    installFieldSync(worker, config);
    assert.equal(listeners.length, 1);
    assert.deepEqual(world.calls, []);
  });

  test('another tag is another’s', () => {
    assert.equal(fire(config, 'else'), undefined);
  });

  test('sends, and closes the database; it never syncs by itself', async () => {
    await fire({ ...config, autoSync: true });
    assert.deepEqual(methods(), ['open', 'status', 'sync', 'queue', 'close']);
    assert.equal(JSON.parse(world.calls[0][1]).autoSync, false);
    assert.deepEqual(world.calls[2], ['sync', 'up', undefined, undefined, undefined]);
  });

  test('asks the server for nothing where nothing waits', async () => {
    script.status = () => '{"pending":0}';
    await fire(config);
    assert.deepEqual(methods(), ['open', 'status', 'close']);
  });

  test('users come from a function, when the event comes; there may be none', async () => {
    await fire(async () => []);
    assert.deepEqual(methods(), []);
    listeners = [];
    await fire(() => [config, { ...config, user: 'ben' }]);
    assert.deepEqual(
      methods().filter((method) => method === 'open' || method === 'close'),
      ['open', 'close', 'open', 'close'],
    );
  });

  for (const [code, retryable, state, later] of [
    ['network', true, 'pending', true],
    ['auth_required', false, 'pending', true],
    ['network', true, 'parked', false],
    ['paused', false, 'pending', false],
    ['upgrade_required', false, 'pending', false],
    [undefined, false, 'failed', true],
    [undefined, false, 'blocked', false],
    [undefined, false, 'conflict', false],
  ]) {
    const ending = code ? `the session ended with ${code}` : 'the session went well';
    test(`${ending} and what is left is ${state}: ${later ? 'a later try' : 'no other try'}`, async () => {
      const errors = code ? [{ code, message: 'says so', retryable }] : [];
      script.sync = () => JSON.stringify({ ...RESULT, success: !code, errors });
      script.queue = () => JSON.stringify([item(state)]);
      const done = fire(config);
      if (later) await assert.rejects(done, { code: code ?? 'unfinished', retryable: true });
      else await done;
      assert.equal(methods().at(-1), 'close');
    });
  }

  test('a user whose database does not open keeps nobody else back, and is tried again', async () => {
    script.open = (text) => {
      if (JSON.parse(text).user === 'ann') throw fault('storage_unavailable', { retryable: true });
    };
    await assert.rejects(fire([config, { ...config, user: 'ben' }]), { code: 'storage_unavailable' });
    assert.equal(methods().filter((method) => method === 'sync').length, 1);
  });
});

describe('a page', () => {
  let registered;
  let registration;
  let world;
  let client;
  const place = Object.getOwnPropertyDescriptor(globalThis, 'navigator');

  beforeEach(() => {
    registered = [];
    registration = { sync: { register: async (tag) => registered.push(tag) } };
    globalThis.indexedDB = {};
    globalThis.document = Object.assign(new EventTarget(), { visibilityState: 'visible' });
    const serviceWorker = { getRegistration: async () => registration };
    Object.defineProperty(globalThis, 'navigator', { value: { serviceWorker }, configurable: true });
    world = scriptedModule();
    provide(world.module);
  });
  afterEach(async () => {
    await client.close();
    // Node has one from version 21 on.
    delete globalThis.navigator;
    if (place) Object.defineProperty(globalThis, 'navigator', place);
    delete globalThis.document;
    delete globalThis.indexedDB;
  });

  const open = async (more) => {
    client = await FieldSync.open({ ...config, ...more });
  };
  /** A status event of the engine, and the turn in which it is dealt with. */
  const status = async (more) => {
    const event = { type: 'status', status: { state: 'success', pending: 0, ...more } };
    world.engines.at(-1).hooks.event(JSON.stringify(event));
    await new Promise((resolve) => setImmediate(resolve));
  };
  const hide = async () => {
    globalThis.document.visibilityState = 'hidden';
    globalThis.document.dispatchEvent(new Event('visibilitychange'));
    await new Promise((resolve) => setImmediate(resolve));
  };

  test('asks once for each time that sending fails with something unsent', async () => {
    await open();
    await status({ pending: 1 });
    await status({ state: 'error', pending: 0 });
    assert.deepEqual(registered, []);
    await status({ state: 'error', pending: 1 });
    await status({ state: 'error', pending: 2 });
    assert.deepEqual(registered, ['fieldsync']);
    await status();
    await status({ state: 'error', pending: 1 });
    assert.deepEqual(registered, ['fieldsync', 'fieldsync']);
  });

  test('asks when it is put away with something unsent, and not otherwise', async () => {
    await open();
    await status();
    await hide();
    assert.deepEqual(registered, []);
    await status({ pending: 1 });
    await hide();
    assert.deepEqual(registered, ['fieldsync']);
  });

  for (const held of [{ offline: true }, { paused: true }]) {
    test(`never asks for what is held back by hand: ${Object.keys(held)}`, async () => {
      await open();
      await status({ state: 'error', pending: 1, ...held });
      await hide();
      assert.deepEqual(registered, []);
    });
  }

  for (const setting of ['autoSync', 'backgroundSync']) {
    test(`never asks with ${setting} false, nor after it is closed`, async () => {
      await open({ [setting]: false });
      await status({ state: 'error', pending: 1 });
      assert.deepEqual(registered, []);
      assert.equal(JSON.parse(world.calls[0][1]).backgroundSync, undefined);
      await client.close();
      await open();
      await status({ pending: 1 });
      await client.close();
      await hide();
      assert.deepEqual(registered, []);
    });
  }

  const denied = async () => {
    throw new Error('denied');
  };
  for (const [what, found] of [
    ['a worker', undefined],
    ['Background Sync', {}],
    ['the permission', { sync: { register: denied } }],
  ]) {
    test(`does without ${what}${found?.sync || !found ? ', and looks again the next time' : ''}`, async () => {
      const whole = registration;
      registration = found;
      await open();
      await status({ state: 'error', pending: 1 });
      assert.deepEqual(registered, []);
      registration = whole;
      await status({ state: 'error', pending: 1 });
      // A browser does not get Background Sync while a page is open.
      assert.deepEqual(registered, found && !found.sync ? [] : ['fieldsync']);
    });
  }
});
