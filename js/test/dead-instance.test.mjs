/**
 * An instance that dies: how it is noticed, what it held, and how a client goes on with the next one. The engine is
 * scripted; tests/e2e/dead-instance.test.mjs shows the same with a real one.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import { deepEqual, FieldSync, Instance, loaded, provide } from './package.mjs';
import { config, scriptedModule } from './support.mjs';

const trap = () => new WebAssembly.RuntimeError('unreachable');
const never = () => new Promise(() => {});

describe('an instance', () => {
  let instance;
  beforeEach(() => {
    instance = new Instance(() => instance);
  });

  test('gives what its exports give, and what they throw', () => {
    const memory = {};
    const exports = instance.guard({ add: (a, b) => a + b, memory });
    assert.equal(exports.add(1, 2), 3);
    assert.equal(exports.memory, memory);
    assert.equal(instance.death, undefined);
  });

  for (const [what, cause] of [
    ['a trap', trap()],
    ['an exhausted stack', new RangeError('Maximum call stack size exceeded')],
    ['what a function of the browser threw through it', 'a string'],
  ]) {
    test(`is dead of ${what}, and nothing reaches it any more`, () => {
      const heard = [];
      instance.onDeath((death) => heard.push(death.code));
      instance.onDeath(() => heard.push('forgotten'))();
      let calls = 0;
      const exports = instance.guard({
        die: () => {
          throw cause;
        },
        later: () => {
          calls += 1;
        },
      });
      assert.throws(exports.die, (thrown) => thrown === cause);
      assert.equal(instance.death.code, 'instance_dead');
      assert.equal(instance.death.cause, cause);
      exports.later();
      exports.die();
      assert.deepEqual([heard, calls], [['instance_dead'], 0]);
    });
  }

  test('lets go of what it held before anybody is told', () => {
    const done = [];
    const kinds = ['IDBTransaction', 'IDBDatabase', 'BroadcastChannel', 'AbortController'];
    const real = Object.fromEntries(kinds.map((kind) => [kind, globalThis[kind]]));
    for (const kind of kinds) {
      globalThis[kind] = class {
        abort() {
          done.push(`${kind} aborted`);
          if (kind === 'IDBTransaction') throw new Error('it has ended already');
        }
        close() {
          done.push(`${kind} closed`);
        }
      };
    }
    try {
      const held = [undefined, 7, null, {}, ...kinds.toReversed().map((kind) => new globalThis[kind]())];
      const exports = instance.guard({
        __wbindgen_externrefs: { length: held.length, get: (at) => held[at] },
        die: () => {
          throw trap();
        },
      });
      instance.onDeath(() => done.push('told'));
      assert.throws(exports.die);
    } finally {
      Object.assign(globalThis, real);
    }
    assert.deepEqual(done, [
      'IDBTransaction aborted',
      'AbortController aborted',
      'BroadcastChannel closed',
      'IDBDatabase closed',
      'told',
    ]);
  });
});

describe('a client whose instance died', () => {
  let script;
  let world;
  let client;

  beforeEach(() => {
    globalThis.indexedDB = {};
    script = { get: () => '{"id":1}', status: () => '{"state":"idle","pending":3}', query: never };
    world = scriptedModule(script);
    provide(world.module);
  });
  afterEach(async () => {
    await client.close();
    mock.timers.reset();
    delete globalThis.indexedDB;
  });

  const open = async (more) => {
    client = await FieldSync.open({ ...config, ...more });
    return client;
  };
  const die = async () => {
    script.count = () => {
      throw trap();
    };
    await assert.rejects(client.count('pet'), { code: 'instance_dead', retryable: false });
    delete script.count;
  };

  test('answers what waits with instance_dead, and goes on with another engine', async () => {
    await open();
    const waiting = client.query('pet');
    await die();
    await assert.rejects(waiting, { code: 'instance_dead' });
    assert.equal((await client.get('pet', 1)).id, 1);
    assert.equal(world.engines.length, 2);
    assert.equal(world.calls.filter(([method]) => method === 'open')[1][1], world.calls[0][1]);
  });

  test('is the client that whoever opens gets', async () => {
    await open();
    await die();
    assert.equal(await FieldSync.open(config), client);
    await client.close();
    assert.equal((await client.get('pet', 1)).id, 1);
  });

  test('two clients of one instance both go on', async () => {
    await open();
    const other = await FieldSync.open({ ...config, user: 'ben' });
    const waiting = other.query('pet');
    await die();
    await assert.rejects(waiting, { code: 'instance_dead' });
    assert.equal((await other.get('pet', 1)).id, 1);
    await other.close();
  });

  test('refuses what cannot wait until the next engine is there, and says that nothing was done', async () => {
    await open();
    script.generateTempId = () => {
      throw trap();
    };
    assert.throws(() => client.tempIds.generateTempId('pet'), { code: 'instance_dead', retryable: false });
    assert.throws(() => client.engine.status(), { code: 'instance_dead', retryable: true });
    await client.get('pet', 1);
    assert.equal(client.engine.status().pending, 3);
  });

  test('starts again without being called, and tells listeners to look again', async () => {
    await open();
    const heard = [];
    for (const event of ['status', 'change', 'queue']) client.on(event, (told) => heard.push(told));
    const started = new Promise((resolve) => client.on('status', resolve));
    await die();
    await started;
    assert.deepEqual(heard, [
      { type: 'change', entity: 'pet', source: 'elsewhere' },
      { type: 'queue' },
      { type: 'status', state: 'idle', pending: 3 },
    ]);
    world.engines[1].hooks.event('{"type":"queue"}');
    assert.equal(heard.length, 4);
  });

  test('delivers what the next engine tells while it starts when that one can be called', async () => {
    await open();
    const seen = [];
    client.on('conflict', ({ id }) => seen.push([id, client.engine.status().pending]));
    script.open = (_, hooks) => hooks.event('{"type":"conflict","id":4}');
    await die();
    await client.get('pet', 1);
    assert.deepEqual(seen, [[4, 3]]);
  });

  test('stays offline if it was set so, also while there was no engine', async () => {
    await open();
    client.setOffline(true);
    await die();
    await client.get('pet', 1);
    await die();
    client.setOffline(false);
    await client.get('pet', 1);
    const asked = world.calls.filter(([method]) => method === 'open' || method === 'setOffline');
    assert.deepEqual(
      asked.map(([method, value]) => (method === 'open' ? method : value)),
      ['open', 'true', 'open', 'true', 'open'],
    );
  });

  test('that dies again and again is started more and more seldom, but at once for a call', async () => {
    await open();
    mock.timers.enable({ apis: ['setTimeout', 'Date'] });
    const engines = async (ms) => {
      mock.timers.tick(ms);
      await new Promise((resolve) => setImmediate(resolve));
      return world.engines.length;
    };
    await die();
    assert.equal(await engines(0), 2);
    for (const [wait, count] of [
      [1_000, 3],
      [2_000, 4],
      [4_000, 5],
    ]) {
      await die();
      assert.equal(await engines(wait - 1), count - 1);
      assert.equal(await engines(1), count);
    }
    await die();
    await client.get('pet', 1);
    assert.equal(await engines(0), 6);
    // It lived long enough.
    mock.timers.tick(60_001);
    await die();
    assert.equal(await engines(0), 7);
  });

  test('that cannot be started is tried again, and calls are told why', async () => {
    await open();
    world.engines[0].hooks.event('{"type":"status","status":{"state":"syncing","pending":3,"lastError":null}}');
    const told = [];
    client.on('status', ({ state, lastError, pending }) => told.push([state, lastError?.code, pending]));
    mock.timers.enable({ apis: ['setTimeout', 'Date'] });
    script.open = () => {
      throw { code: 'storage_unavailable', message: 'not now', retryable: true };
    };
    await die();
    await assert.rejects(client.get('pet', 1), { code: 'storage_unavailable' });
    assert.deepEqual(told, [['error', 'storage_unavailable', 3]], 'whoever only listens learns why nothing goes on');
    delete script.open;
    mock.timers.tick(1_000);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(client.engine.status().pending, 3);
  });

  test('whose database a newer release has taken tells so, and is not tried again', async () => {
    await open();
    mock.timers.enable({ apis: ['setTimeout', 'Date'] });
    let tries = 0;
    script.open = () => {
      tries += 1;
      throw { code: 'outdated', message: 'reload', retryable: false };
    };
    let told = 0;
    client.on('outdated', () => {
      told += 1;
    });
    await die();
    for (let minute = 0; minute < 5; minute += 1) {
      mock.timers.tick(60_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.deepEqual([tries, told], [1, 1]);
  });

  test('between the answer of its engine and the first call is not taken for alive', async () => {
    await open();
    client.setOffline(true);
    await die();
    // The last thing before the engine is handed over; two turns later it has been, and nobody has called it.
    script.setOffline = () => {
      delete script.setOffline;
      queueMicrotask(() => queueMicrotask(() => loaded().die(trap())));
    };
    await assert.rejects(client.get('pet', 1), { code: 'instance_dead' });
    assert.equal((await client.get('pet', 1)).id, 1);
    assert.equal(world.engines.length, 3);
  });

  test('and was closed stays closed', async () => {
    await open();
    await die();
    await client.close();
    await assert.rejects(client.get('pet', 1), { code: 'closed' });
    await new Promise((resolve) => setTimeout(resolve));
    assert.equal(world.engines.length, 1);
  });

  test('while it was opened, is told so, and the next open tries again', async () => {
    script.open = () => {
      throw trap();
    };
    await assert.rejects(FieldSync.open(config), { code: 'instance_dead' });
    delete script.open;
    await open();
  });

  test('a pure function gets the next instance too', async () => {
    await open();
    script.deepEqual = () => 'true';
    await die();
    assert.equal(deepEqual(1, 1), true);
  });
});
