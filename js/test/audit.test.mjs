/**
 * The facade of the audit trail over a scripted engine: pages, pieces, and how rows are handed to a sink that may fail.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import { FieldSync, provide } from './package.mjs';
import { config, fault, scriptedModule } from './support.mjs';

const asked = (world) => world.calls.map(([method, ...args]) => [method, ...args]);

describe('the audit trail', () => {
  let script;
  let world;
  let client;
  beforeEach(async () => {
    globalThis.indexedDB = {};
    script = {};
    world = scriptedModule(script);
    provide(world.module);
    client = await FieldSync.open(config);
    world.calls.length = 0;
  });
  afterEach(async () => {
    mock.timers.reset();
    await client.close();
    delete globalThis.indexedDB;
  });

  test('a filter crosses as it is, and a condition that vanished is refused', async () => {
    script.auditQuery = () => '[{"number":3}]';
    assert.deepEqual(await client.audit.query({ entity: 'pet', record: 7, after: undefined }), [{ number: 3 }]);
    await client.audit.query();
    assert.deepEqual(asked(world), [
      ['auditQuery', '', '{"entity":"pet","record":7}'],
      ['auditQuery', '', '{}'],
    ]);
    await assert.rejects(client.audit.query({ operation: undefined }), {
      code: 'invalid_value',
      details: { path: 'operation' },
    });
    await assert.rejects(client.audit.query({ since: Number.NaN }), { details: { path: 'since' } });
  });

  test('the server is asked by an option, and what it has stands in the result', async () => {
    const result = { rows: 2, through: 9, head: 'ab', ok: true, server: { ok: false, through: 9, head: 'cd' } };
    script.auditVerify = () => JSON.stringify({ result, last: 9, done: true, server: true });
    assert.deepEqual(await client.audit.verify({ server: true }), result);
    assert.deepEqual(asked(world), [['auditVerify', '{"server":true}']]);
    await assert.rejects(client.audit.verify({ server: 1 }), { code: 'invalid_value', details: { path: 'server' } });
  });

  test('a verification goes from page to page, tells of each, and ends when it is stopped', async () => {
    const result = { rows: 2, through: 9, head: 'ab', ok: true };
    const steps = [
      { result: { ...result, rows: 1, through: 4, ok: false }, last: 9, done: false },
      { result, last: 9, done: true },
    ];
    script.auditVerify = () => JSON.stringify(steps[world.calls.length - 1]);
    const seen = [];
    assert.deepEqual(await client.audit.verify({ from: 4, onProgress: (at) => seen.push(at) }), result);
    assert.deepEqual(asked(world), [
      ['auditVerify', '{"from":4}'],
      ['auditVerify', JSON.stringify(steps[0])],
    ]);
    assert.deepEqual(seen, [
      { rows: 1, through: 4, last: 9 },
      { rows: 2, through: 9, last: 9 },
    ]);
    world.calls.length = 0;
    const stop = new AbortController();
    const stopped = client.audit.verify({ signal: stop.signal, onProgress: () => stop.abort() });
    await assert.rejects(stopped, { code: 'aborted' });
    assert.equal(world.calls.length, 1);
  });

  test('an export comes piece by piece, and asks for no more than is taken', async () => {
    const pieces = [
      { text: 'a\n', next: { after: 4, limit: 1 } },
      { text: 'b\n', next: null },
    ];
    script.auditQuery = () => JSON.stringify(pieces[world.calls.length - 1]);
    const taken = [];
    for await (const text of client.audit.export('csv', { entity: 'pet', limit: 2 })) taken.push(text);
    assert.deepEqual(taken, ['a\n', 'b\n']);
    assert.deepEqual(asked(world), [
      ['auditQuery', 'csv', '{"entity":"pet","limit":2}'],
      ['auditQuery', 'csv', '{"entity":"pet","limit":1,"after":4}', 'more'],
    ]);
    world.calls.length = 0;
    for await (const _ of client.audit.export('ndjson')) break;
    assert.equal(world.calls.length, 1);
    script.auditQuery = () => '{"text":"","next":null}';
    for await (const text of client.audit.export('ndjson')) assert.fail(text);
  });

  test('a report takes its limits, a discard and a wipe their reason', async () => {
    script.auditReport = () => '{"breaches":["parked"]}';
    assert.deepEqual(await client.audit.complianceReport({ parkedMs: 5 }), { breaches: ['parked'] });
    await client.queue.discard('o1', { reason: 'a double' });
    await assert.rejects(client.queue.discard('o1', { reason: 7 }), {
      code: 'invalid_value',
      details: { path: 'reason' },
    });
    script.wipe = () => {
      throw fault('unsent_work');
    };
    await assert.rejects(client.wipe({ reason: 'handed back' }), { code: 'unsent_work' });
    assert.deepEqual(asked(world), [
      ['auditReport', '{"parkedMs":5}'],
      ['discard', 'o1', 'a double'],
      ['wipe', '', 'handed back'],
    ]);
  });

  /** A trail that grows, and what was acknowledged of it. */
  function trail() {
    const state = { last: 0, taken: 0 };
    script.auditTaken = (_, through) => {
      state.taken = Math.max(state.taken, Number(through));
      return String(state.taken);
    };
    script.auditQuery = (_, filter) => {
      const { after } = JSON.parse(filter);
      const numbers = Array.from({ length: state.last }, (_, at) => at + 1).filter((number) => number > after);
      return JSON.stringify(numbers.slice(0, 2).map((number) => ({ number })));
    };
    return state;
  }
  const numbers = (rows) => rows.map(({ number }) => number);
  /** Promises that wait for nothing but each other have gone on by then. */
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  const told = () => world.engines[0].hooks.event('{"type":"queue"}');

  test('a sink gets what is there and what comes, in order, the next page after the last was taken', async () => {
    const state = trail();
    state.last = 3;
    const pages = [];
    let done;
    const stop = client.audit.subscribe('log', (rows) => {
      pages.push(numbers(rows));
      return new Promise((resolve) => (done = resolve));
    });
    await settled();
    assert.deepEqual([pages, state.taken], [[[1, 2]], 0], 'nothing is acknowledged before it resolves');
    // What happens while it works is not forgotten, and does not call it a second time.
    state.last = 4;
    told();
    await settled();
    assert.equal(pages.length, 1);
    done();
    await settled();
    assert.deepEqual(
      [pages, state.taken],
      [
        [
          [1, 2],
          [3, 4],
        ],
        2,
      ],
    );
    stop();
    done();
    await settled();
    assert.equal(state.taken, 4, 'what was under way is acknowledged');
    state.last = 5;
    told();
    await settled();
    assert.equal(pages.length, 2, 'it was ended');
  });

  test('a sink that fails is left alone for longer each time, and gets the same rows again', async () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    const state = trail();
    state.last = 1;
    const [pages, errors] = [[], []];
    let broken = true;
    const sink = async (rows) => {
      pages.push(numbers(rows));
      if (broken) throw new Error('no network');
    };
    client.audit.subscribe('log', sink, { onError: ({ message }) => errors.push(message) });
    await settled();
    assert.deepEqual([pages, errors, state.taken], [[[1]], ['no network'], 0]);
    told();
    await settled();
    assert.equal(pages.length, 1, 'what happens meanwhile does not hurry it');
    for (const [wait, calls] of [
      [999, 1],
      [1, 2],
      [1_999, 2],
      [1, 3],
    ]) {
      mock.timers.tick(wait);
      await settled();
      assert.equal(pages.length, calls, `after ${wait} ms more`);
    }
    broken = false;
    mock.timers.tick(4_000);
    await settled();
    assert.deepEqual([pages.length, pages.at(-1), state.taken], [4, [1], 1]);
  });

  test('a sink ends with its client, and a name or a function that is none is refused', async () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    trail().last = 1;
    const errors = [];
    client.audit.subscribe('log', () => client.close(), { onError: (error) => errors.push(error.code) });
    await settled();
    mock.timers.tick(60_000);
    await settled();
    assert.deepEqual(errors, []);
    assert.equal(world.calls.filter(([method]) => method === 'auditTaken').length, 1);
    for (const [sink, take, path] of [
      ['', () => undefined, 'name'],
      ['log', undefined, 'sink'],
    ]) {
      assert.throws(() => client.audit.subscribe(sink, take), { code: 'invalid_value', details: { path } });
    }
  });
});
