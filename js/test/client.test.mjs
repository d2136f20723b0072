/**
 * A client over a scripted engine: what crosses the boundary as text, what comes back, how a failure reads, and who
 * shares a client.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { FieldSync, hashData, init, provide } from './package.mjs';
import { config, fault, scriptedModule } from './support.mjs';

const REX =
  '{"record":{"id":"temp_1_a_pet","name":"Rex","_sync":{"version":null,"key":"temp_1_a_pet"}},"operationId":"o1"}';

describe('before anything is loaded', () => {
  test('a function that cannot wait says so', () => {
    assert.throws(() => hashData({}), { code: 'not_initialized' });
  });
  test('on a server, init without a module and open reject with their own codes', async () => {
    await assert.rejects(init(), { code: 'no_browser' });
    await assert.rejects(FieldSync.open(config), { code: 'storage_unavailable' });
  });
  test('a load that fails is forgotten, the next call tries again', async () => {
    await assert.rejects(init({ wasm: new Uint8Array(0) }), { code: 'not_initialized', retryable: true });
    await assert.rejects(init({ wasm: new Uint8Array(0) }), { code: 'not_initialized', retryable: true });
  });
  test('a page instead of the module is called one, anything else what the engine calls it', async () => {
    const refusal = (text) => init({ wasm: new TextEncoder().encode(text) }).catch((error) => error);
    for (const page of ['<!doctype html>', '<html></html>', '<HTML></HTML>']) {
      const { code, message, cause } = await refusal(page);
      assert.equal(code, 'not_initialized');
      assert.match(message, /: the server answered with a page instead of the module; see docs\/packages\.md$/);
      assert.match(cause.message, /magic word/);
    }
    assert.match((await refusal('{"error":404}')).message, /could not be loaded: .*magic word/);
  });
});

describe('a client', () => {
  let script;
  let world;
  let clients;
  const open = async (more = {}) => {
    const client = await FieldSync.open({ ...config, ...more });
    clients.push(client);
    return client;
  };

  beforeEach(() => {
    globalThis.indexedDB = {};
    const never = () => new Promise(() => {});
    script = { create: () => REX, update: () => REX, delete: () => '{"operationId":"o9"}', synced: never };
    world = scriptedModule(script);
    clients = [];
    provide(world.module);
  });
  afterEach(async () => {
    for (const client of clients) await client.close();
    delete globalThis.indexedDB;
  });

  test('functions stay here, the rest of the configuration crosses as text', async () => {
    const client = await open({
      token: ({ tenant, user, refresh }) => `${tenant}/${user}/${refresh}`,
      autoSync: false,
    });
    assert.deepEqual(JSON.parse(world.calls[0][1]), { ...config, autoSync: false });
    assert.equal(await world.engines[0].hooks.token('north', 'ann', true), 'north/ann/true');
    assert.ok(client instanceof FieldSync);
  });

  test('what a function of the app says crosses as text, and what it throws is reported', async () => {
    const reported = [];
    globalThis.reportError = (cause) => reported.push(cause);
    try {
      await open({
        rules: {
          pet: async ({ localData }) => ({ type: 'merge', mergedData: localData }),
          client: () => {
            throw new Error('no idea');
          },
          visit: () => undefined,
        },
        validators: { pet: ({ name }) => name && [{ path: 'name', message: 'no' }] },
      });
      assert.deepEqual(JSON.parse(world.calls[0][1]).rules, ['pet', 'client', 'visit']);
      const { ask } = world.engines[0].hooks;
      assert.equal(await ask('rule', 'pet', '{"localData":{"a":1}}'), '{"type":"merge","mergedData":{"a":1}}');
      assert.equal(await ask('rule', 'visit', '{}'), 'null');
      assert.deepEqual(JSON.parse(world.calls[0][1]).validators, ['pet']);
      assert.equal(await ask('validator', 'pet', '{"name":"Rex"}'), '[{"path":"name","message":"no"}]');
      assert.equal(await ask('validator', 'pet', '{}'), 'null');
      await assert.rejects(ask('rule', 'client', '{}'), { message: 'no idea' });
      assert.deepEqual(
        reported.map(({ message }) => message),
        ['no idea'],
      );
    } finally {
      delete globalThis.reportError;
    }
    await assert.rejects(FieldSync.open({ ...config, user: 'bad', rules: { pet: 'client-wins' } }), {
      code: 'bad_setting',
      details: { path: 'rules.pet' },
    });
  });

  test('a token provider may answer "not now" by null or by nothing', async () => {
    await open({ token: () => undefined });
    assert.equal(await world.engines[0].hooks.token('north', 'ann'), null);
  });

  for (const [setting, value] of [
    ['tenant', ''],
    ['user', null],
    ['token', 'a token'],
    ['rules', 'manual'],
    ['validators', null],
    ['batchSize', Number.NaN],
    ['backgroundSync', 1],
    ['onError', () => {}],
  ]) {
    test(`a bad ${setting} is refused with its path`, async () => {
      await assert.rejects(FieldSync.open({ ...config, [setting]: value }), {
        code: 'bad_setting',
        details: { path: setting },
      });
      assert.equal(world.calls.length, 0);
    });
  }

  test('documents cross as text and come back as values', async () => {
    script.get = () => '{"id":3,"name":"Rex"}';
    script.query = () => '[{"id":3}]';
    script.count = () => '7';
    const client = await open();
    assert.equal((await client.create('pet', { name: 'Rex', born: new Date(0) })).record.name, 'Rex');
    await client.update('pet', 'temp_1_a_pet', { name: 'Rexy', weight: undefined });
    assert.equal((await client.delete('pet', 12)).record, null);
    assert.deepEqual(await client.get('pet', 3), { id: 3, name: 'Rex' });
    assert.deepEqual(await client.query('pet', { where: { name: { prefix: 'R' } } }), [{ id: 3 }]);
    assert.equal(await client.count('pet'), 7);
    const calls = world.calls.filter(([method]) => method !== 'open' && method !== 'synced');
    assert.deepEqual(calls, [
      ['create', 'pet', '{"name":"Rex","born":"1970-01-01T00:00:00.000Z"}'],
      ['update', 'pet', '"temp_1_a_pet"', '{"set":{"name":"Rexy"},"unset":["weight"]}'],
      ['delete', 'pet', '12'],
      ['get', 'pet', '3'],
      ['query', 'pet', '{"where":{"name":{"prefix":"R"}}}'],
      ['count', 'pet', '{}'],
    ]);
  });

  test('input that JSON would lose never reaches the engine', async () => {
    const client = await open();
    await assert.rejects(client.create('pet', { name: 1n }), { code: 'invalid_value', details: { path: '/name' } });
    await assert.rejects(client.query('pet', { where: { name: undefined } }), {
      code: 'invalid_query',
      details: { path: 'where.name' },
    });
    await assert.rejects(client.get('pet', {}), { code: 'invalid_value' });
    await assert.rejects(client.create('', {}), { code: 'invalid_value' });
    assert.equal(world.calls.length, 1);
  });

  test('a fault of the engine is a typed error with its details', async () => {
    script.create = () => {
      throw fault('has_dependents', { retryable: true, details: { ids: [1, 2] } });
    };
    const client = await open();
    await assert.rejects(client.create('pet', {}), (error) => {
      assert.ok(error instanceof Error);
      assert.equal(error.name, 'FieldSyncError');
      assert.equal(error.code, 'has_dependents');
      assert.equal(error.message, 'says has_dependents');
      assert.equal(error.retryable, true);
      assert.deepEqual(error.details, { ids: [1, 2] });
      return true;
    });
  });

  test('synced settles with the outcome, and at once when nothing changed', async () => {
    script.synced = () => '{"status":"applied","version":"8"}';
    const client = await open();
    const saved = await client.create('pet', {});
    assert.deepEqual(await saved.synced, { status: 'applied', version: '8' });
    assert.deepEqual(world.calls[2], ['synced', 'o1']);
    script.update = () => REX.replace('"o1"', 'null');
    assert.deepEqual(await (await client.update('pet', 3, {})).synced, { status: 'unchanged' });
  });

  test('synced of a client that is closed settles too: the operation is still pending', async () => {
    const client = await open();
    const { synced } = await client.create('pet', {});
    await client.close();
    const outcome = await synced;
    assert.equal(outcome.status, 'pending');
    assert.equal(outcome.error.code, 'closed');
  });

  test('the same tenant and user give the same client, however they are written, until all have closed', async () => {
    const [one, two] = await Promise.all([open({ tenant: 7 }), open({ tenant: '7' })]);
    assert.equal(two, one);
    const other = await open({ tenant: 8 });
    assert.notEqual(other, one);
    await one.close();
    assert.ok(!world.calls.some(([method]) => method === 'close'));
    await one.close();
    assert.equal(world.calls.filter(([method]) => method === 'close').length, 1);
    await assert.rejects(one.get('pet', 1), { code: 'closed' });
    assert.throws(() => one.engine.status(), { code: 'closed' });
    clients = [other];
  });

  test('other settings for a client that is open are refused, not ignored', async () => {
    await open();
    await assert.rejects(open({ batchSize: 7 }), { code: 'bad_setting', details: { path: 'batchSize' } });
  });

  test('closing a closed client does not close the one that was opened after it', async () => {
    const first = await open();
    await first.close();
    const second = await open();
    await first.close();
    script.count = () => '3';
    assert.equal(await second.count('pet'), 3);
  });

  test('opening again waits until the closing is done', async () => {
    const order = [];
    let closed;
    script.close = () =>
      new Promise((resolve) => {
        closed = () => {
          order.push('closed');
          resolve();
        };
      });
    script.open = () => order.push('open');
    const first = await open();
    const closing = first.close();
    const second = open();
    await new Promise((resolve) => setImmediate(resolve));
    closed();
    await closing;
    assert.notEqual(await second, first);
    assert.deepEqual(order, ['open', 'closed', 'open']);
    delete script.close;
  });

  test('an open that failed is forgotten', async () => {
    script.open = () => {
      throw fault('storage_unavailable', { retryable: true });
    };
    await assert.rejects(open(), { code: 'storage_unavailable', retryable: true });
    script.open = undefined;
    assert.ok(await open());
  });

  test('events reach listeners, and no more after close', async () => {
    const client = await open();
    const seen = [];
    client.on('change', (event) => seen.push(event));
    const change = { type: 'change', entity: 'pet', ids: [1], source: 'local' };
    world.engines[0].hooks.event(JSON.stringify(change));
    await client.close();
    world.engines[0].hooks.event(JSON.stringify(change));
    assert.deepEqual(seen, [change]);
  });

  test('a status event is the status itself', async () => {
    const client = await open();
    const seen = [];
    client.on('status', (event) => seen.push(event));
    world.engines[0].hooks.event('{"type":"status","status":{"state":"syncing","pending":4}}');
    assert.deepEqual(seen, [{ type: 'status', state: 'syncing', pending: 4 }]);
  });
});
