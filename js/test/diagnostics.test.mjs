/**
 * The diagnostic log over a scripted engine: what is kept of calls and events, how much, and that nothing of what an app
 * stores, is told or signs in with gets in.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { FieldSync, provide } from './package.mjs';
import { config, fault, scriptedModule } from './support.mjs';

const CANARY = 'canary-7d1f';
const CANARIES = { name: CANARY, nested: [{ [CANARY]: CANARY }] };

let world;
let script;
let clients;
beforeEach(() => {
  globalThis.indexedDB = {};
  clients = [];
  script = {};
  world = scriptedModule(script);
  provide(world.module);
});
afterEach(async () => {
  for (const client of clients) await client.close();
  delete globalThis.indexedDB;
});

async function open(log) {
  const client = await FieldSync.open({ ...config, token: () => CANARY, log });
  clients.push(client);
  return client;
}

const tell = (event) => world.engines.at(-1).hooks.event(JSON.stringify(event));
const session = (more) => ({
  type: 'session',
  result: { success: true, synced: 1, failed: 0, conflicts: 0, operations: 1, errors: [], duration: 5, ...more },
});

test('it is off unless it is asked for', async () => {
  const client = await open(undefined);
  tell({ type: 'queue' });
  tell(session());
  await client.syncLog.list();
  assert.deepEqual(client.diagnostics(), []);
});

test('it keeps what its level and its namespaces ask for, and at most a thousand entries', async () => {
  const client = await open({ level: 'info', namespaces: ['session', 'call'] });
  tell({ type: 'queue' });
  tell({ type: 'conflict', id: 7 });
  tell(session());
  tell(session({ success: false, errors: [{ code: 'network', message: 'x', retryable: true }] }));
  script.syncLog = () => {
    throw fault('invalid_value');
  };
  await assert.rejects(client.syncLog.list());
  await client.conflicts.list();
  const kept = client.diagnostics();
  assert.deepEqual(
    kept.map(({ level, namespace, what }) => [level, namespace, what]),
    [
      ['info', 'session', 'session'],
      ['warn', 'session', 'session'],
      ['warn', 'call', 'syncLog'],
    ],
  );
  assert.deepEqual([kept[1].facts.errors, kept[2].facts.code], [['network'], 'invalid_value']);
  kept[0].facts.synced = 99;
  assert.equal(client.diagnostics()[0].facts.synced, 1);
  for (let at = 0; at < 1_200; at += 1) tell(session({ synced: at }));
  const full = client.diagnostics();
  assert.deepEqual([full.length, full[0].facts.synced, full.at(-1).facts.synced], [1_000, 200, 1_199]);
});

test('no payload, no token, no reason and no text of a server is in it', async () => {
  const client = await open({ level: 'debug' });
  script.update = () => {
    throw fault('invalid_record', { message: CANARY, details: { path: CANARY, faults: [CANARIES] } });
  };
  script.discard = () => JSON.stringify({ discarded: [CANARY] });
  script.query = () => JSON.stringify([{ id: 1, ...CANARIES }]);
  await assert.rejects(client.update('pet', 1, CANARIES));
  await client.queue.discard('o1', { reason: CANARY });
  assert.equal((await client.query('pet', { where: CANARIES }))[0].name, CANARY);
  const { hooks } = world.engines.at(-1);
  assert.equal(await hooks.token('north', 'ann', false), CANARY);
  const error = { code: 'server', message: CANARY, retryable: true, [CANARY]: CANARY };
  tell(session({ success: false, errors: [error], results: [CANARIES], [CANARY]: CANARY }));
  tell({ type: 'status', status: { state: 'error', pending: 0, lastError: error, [CANARY]: CANARY } });
  for (const type of ['progress', 'change', 'queue', 'conflict', 'warning', 'alert', 'outdated'])
    tell({ type, ...CANARIES });
  tell({ type: 'change', entity: 'pet', ids: [7], source: 'local' });
  const kept = client.diagnostics();
  assert.ok(!JSON.stringify(kept).includes('canary'), JSON.stringify(kept));
  const whats = new Set(kept.map(({ what }) => what));
  for (const what of ['update', 'discard', 'query', 'session', 'status', 'change', 'warning', 'alert', 'outdated'])
    assert.ok(whats.has(what), what);
  assert.deepEqual(kept.at(-1).facts, { entity: 'pet', ids: [7], source: 'local' });
});

test('a setting that makes no sense fails with its path', async () => {
  for (const [log, path] of [
    [true, 'log'],
    [[], 'log'],
    [{ level: 'loud' }, 'log.level'],
    [{ namespaces: ['secrets'] }, 'log.namespaces'],
    [{ namespaces: 'session' }, 'log.namespaces'],
    [{ file: 'x' }, 'log.file'],
  ]) {
    await assert.rejects(open(log), ({ code, details }) => code === 'bad_setting' && details.path === path);
  }
});
