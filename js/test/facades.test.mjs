/**
 * The facades of a client over a scripted engine: sessions, transactions, the queue, conflicts, temp IDs, pure functions.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { deepEqual, FieldSync, provide } from './package.mjs';
import { config, fault, scriptedModule } from './support.mjs';

const REX =
  '{"record":{"id":"temp_1_a_pet","name":"Rex","_sync":{"version":null,"key":"temp_1_a_pet"}},"operationId":"o1"}';
describe('the facades', () => {
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
    await client.close();
    delete globalThis.indexedDB;
  });

  test('sessions carry direction, signal and progress', async () => {
    const result = { success: true, synced: 2, failed: 0, conflicts: 0, operations: [], errors: [], duration: 5 };
    const { signal } = new AbortController();
    const seen = [];
    const progress = '{"type":"progress","phase":"upload","done":1,"total":2,"bytes":10}';
    script.sync = () => {
      world.engines[0].hooks.event(progress);
      return JSON.stringify(result);
    };
    assert.deepEqual(await client.engine.sync({ signal, onProgress: (progress) => seen.push(progress) }), result);
    await client.engine.bidirectionalSync();
    await client.engine.syncToServer();
    await client.engine.syncFromServer();
    assert.deepEqual(
      world.calls.map(([, direction]) => direction),
      ['both', 'both', 'up', 'down'],
    );
    assert.equal(world.calls[0][4], signal);
    assert.deepEqual(seen, [{ phase: 'upload', done: 1, total: 2, bytes: 10 }]);
  });

  test('a session may be about one entity, or about these operations and no others', async () => {
    const result = { success: true, synced: 1, failed: 0, conflicts: 0, operations: [], errors: [], duration: 5 };
    const rest = { results: [{ serverId: 7, status: 'success' }], idMappings: [{ tempId: 'temp_1_a_pet', realId: 7 }] };
    script.sync = () => JSON.stringify({ ...result, ...rest, downloaded: 3, entityType: 'pet' });
    const pets = await client.engine.syncEntityType('pet');
    assert.deepEqual([pets.entityType, pets.downloaded], ['pet', 3]);
    const { success: _, operations: __, ...batch } = { ...result, ...rest };
    assert.deepEqual(await client.engine.processSyncBatch([{ id: 'o1' }, { id: 'o2' }]), batch);
    assert.deepEqual(world.calls, [
      ['sync', 'both', 'pet', undefined, undefined],
      ['sync', 'up', undefined, '["o1","o2"]', undefined],
    ]);
    // None is none, though to the engine a list without a name means all.
    assert.deepEqual((await client.engine.processSyncBatch([])).results, []);
    await assert.rejects(client.engine.processSyncBatch([{}]), {
      code: 'invalid_value',
      details: { path: 'operation' },
    });
    assert.equal(world.calls.length, 2);
  });

  test('a transaction crosses as one text, and each write comes back in its place', async () => {
    script.transaction = () => `[${REX},{"record":{"id":3},"operationId":null},{"operationId":"o9"}]`;
    script.synced = () => '{"status":"applied","version":"8"}';
    const saved = await client.transaction([
      { kind: 'create', entity: 'pet', data: { name: 'Rex', _sync: { version: null, key: 1 } } },
      { kind: 'update', entity: 'pet', id: 3, changes: { name: 'Tom', weight: undefined } },
      { kind: 'delete', entity: 'pet', id: 'temp_1_b_pet' },
    ]);
    assert.deepEqual(JSON.parse(world.calls[0][1]), [
      { kind: 'create', entity: 'pet', data: { name: 'Rex' } },
      { kind: 'update', entity: 'pet', id: 3, set: { name: 'Tom' }, unset: ['weight'] },
      { kind: 'delete', entity: 'pet', id: 'temp_1_b_pet' },
    ]);
    assert.deepEqual(
      saved.map(({ record, operationId }) => [record?.id, operationId]),
      [
        ['temp_1_a_pet', 'o1'],
        [3, null],
        [undefined, 'o9'],
      ],
    );
    assert.deepEqual(
      (await Promise.all(saved.map(({ synced }) => synced))).map(({ status }) => status),
      ['applied', 'unchanged', 'applied'],
    );
  });

  for (const [what, write, path] of [
    ['a value that is none', { kind: 'create', entity: 'pet', data: { at: Number.NaN } }, '/at'],
    ['no record', { kind: 'delete', entity: 'pet' }, 'id'],
    ['no entity', { kind: 'delete', id: 3 }, 'entity'],
    ['another kind', { kind: 'upsert', entity: 'pet', id: 3 }, 'kind'],
    ['nothing', null, 'entity'],
  ]) {
    test(`a write of ${what} is refused with its place in the transaction`, async () => {
      const good = { kind: 'delete', entity: 'pet', id: 3 };
      await assert.rejects(client.transaction([good, write]), { code: 'invalid_value', details: { path, write: 1 } });
      assert.equal(world.calls.length, 0);
    });
  }

  test('parked work goes by its item, its operation or its id', async () => {
    script.discard = () => '{"discarded":["o1","o2"]}';
    await client.queue.retry({ operationId: 'o1', state: 'parked' });
    await client.queue.edit({ id: 'o1' }, { name: 'Tom', weight: undefined });
    assert.deepEqual(await client.queue.discard('o1'), { discarded: ['o1', 'o2'] });
    await assert.rejects(client.queue.retry(null), { code: 'invalid_value', details: { path: 'operation' } });
    assert.deepEqual(world.calls, [
      ['retry', 'o1'],
      ['edit', 'o1', '{"set":{"name":"Tom"},"unset":["weight"]}'],
      ['discard', 'o1', ''],
    ]);
  });

  test('unsent work leaves as a text and comes in as a text or a file', async () => {
    script.export = () => '{"fieldsync":1}';
    script.import = () => '{"imported":2,"known":1}';
    const text = await client.queue.export();
    assert.equal(text, '{"fieldsync":1}');
    assert.deepEqual(await client.queue.import(text), { imported: 2, known: 1 });
    assert.deepEqual(await client.queue.import(new Blob([text])), { imported: 2, known: 1 });
    await assert.rejects(client.queue.import(undefined), { code: 'invalid_value', details: { path: 'file' } });
    assert.deepEqual(world.calls.slice(1), [
      ['import', text],
      ['import', text],
    ]);
  });

  test('pause and resume reach the engine', async () => {
    await client.engine.pause();
    await client.engine.resume();
    assert.deepEqual(world.calls, [['pause'], ['resume']]);
  });

  test('a wipe that is refused leaves the client open; one that is done closes it for everybody', async () => {
    script.wipe = () => {
      throw fault('unsent_work', { details: { unsent: 2 } });
    };
    const other = await FieldSync.open(config);
    await assert.rejects(client.wipe(), { code: 'unsent_work', details: { unsent: 2 } });
    assert.equal(client.engine.status(), null);
    script.wipe = () => '{"discarded":2}';
    assert.deepEqual(await client.wipe({ force: true }), { discarded: 2 });
    assert.deepEqual(
      world.calls.filter(([method]) => method === 'wipe'),
      [
        ['wipe', '', ''],
        ['wipe', 'force', ''],
      ],
    );
    await assert.rejects(other.get('pet', 1), { code: 'closed' });
    client = await FieldSync.open(config);
    assert.notEqual(client, other);
  });

  test('conflicts of other devices are fetched, or it is said why not', async () => {
    script.fetchConflicts = () => '{"open":2,"errors":[]}';
    assert.deepEqual(await client.conflicts.fetch(), { open: 2 });
    script.fetchConflicts = () =>
      '{"open":0,"errors":[{"code":"network","message":"nobody answers","retryable":true}]}';
    await assert.rejects(client.conflicts.fetch(), { name: 'FieldSyncError', code: 'network', retryable: true });
  });

  test('a conflict goes by object or id, a strategy by object or name', async () => {
    await client.engine.resolveConflict({ id: 4 }, 'client-wins');
    await client.engine.resolveConflict(4, { type: 'merge', mergedData: { a: 1 } });
    await client.engine.resolveConflict(4, 'merge', { reason: 'the vet said so' });
    await assert.rejects(client.engine.resolveConflict('4', 'merge'), { code: 'invalid_value' });
    assert.deepEqual(world.calls, [
      ['resolveConflict', '4', '{"type":"client-wins"}'],
      ['resolveConflict', '4', '{"type":"merge","mergedData":{"a":1}}'],
      ['resolveConflict', '4', '{"type":"merge","reason":"the vet said so"}'],
    ]);
  });

  test('a filter crosses as text, and one with a member that is undefined does not', async () => {
    await client.conflicts.list();
    await client.conflicts.list({ entity: 'pet', record: 3, order: 'desc' });
    await client.conflicts.statistics({ since: 5 });
    await client.conflicts.history({ entity: 'pet', record: 'temp_1_a_pet' });
    assert.deepEqual(world.calls, [
      ['conflicts', '{}'],
      ['conflicts', '{"entity":"pet","record":3,"order":"desc"}'],
      ['countConflicts', '{"since":5}'],
      ['conflicts', '{"entity":"pet","record":"temp_1_a_pet"}'],
    ]);
    const refused = (path) => ({ code: 'invalid_value', details: { path } });
    await assert.rejects(client.conflicts.list({ state: undefined }), refused('state'));
    await assert.rejects(client.conflicts.bulkResolve('merge', { entity: undefined }), refused('entity'));
    await assert.rejects(client.conflicts.history({ entity: 'pet' }), refused('record'));
    await assert.rejects(client.conflicts.restore({}), refused('conflict'));
    assert.equal(world.calls.length, 4);
  });

  test('who brings something back says why, where there is something to say', async () => {
    for (const method of ['restoreConflict', 'undoConflict']) script[method] = () => '{"operationId":null,"kept":[]}';
    await client.conflicts.restore(7, { reason: 'both were right' });
    await client.conflicts.undo(7);
    assert.deepEqual(world.calls, [
      ['restoreConflict', '7', 'both were right'],
      ['undoConflict', '7', ''],
    ]);
    const refused = (path) => ({ code: 'invalid_value', details: { path } });
    await assert.rejects(client.conflicts.undo(7, { reason: 7 }), refused('reason'));
    await assert.rejects(client.conflicts.restore(7, { why: 'no' }), refused('why'));
  });

  test('many conflicts are decided part by part: each is told, and an abort ends it between two', async () => {
    const parts = [
      '{"resolved":[1,2],"failed":[],"previews":[],"after":2}',
      '{"resolved":[5],"failed":[{"id":4,"error":{"code":"invalid_reference","message":"no"}}],"previews":[],"after":5}',
      '{"resolved":[],"failed":[],"previews":[],"after":null}',
    ];
    const left = [...parts];
    script.countConflicts = () => '{"open":4}';
    script.resolveConflicts = () => left.shift();
    const told = [];
    const onProgress = (progress) => told.push(progress);
    const { resolved, failed, ...rest } = await client.conflicts.bulkResolve('client-wins', {}, { onProgress });
    assert.deepEqual([resolved, rest], [[1, 2, 5], {}]);
    assert.deepEqual(
      [failed[0].id, failed[0].error.name, failed[0].error.code],
      [4, 'FieldSyncError', 'invalid_reference'],
    );
    assert.deepEqual(told, [
      { done: 2, total: 4 },
      { done: 4, total: 4 },
    ]);
    const asked = () => world.calls.filter(([method]) => method === 'resolveConflicts').map(([, , ...more]) => more);
    assert.deepEqual(asked(), [['{}'], ['{"after":2}'], ['{"after":5}']]);
    const counted = () => world.calls.filter(([method]) => method === 'countConflicts').map(([, filter]) => filter);
    assert.deepEqual(counted(), ['{}'], 'all are counted by their entries');

    world.calls.length = 0;
    left.push(...parts);
    const stop = new AbortController();
    const halt = () => stop.abort();
    const part = await client.conflicts.bulkResolve('client-wins', {}, { onProgress: halt, signal: stop.signal });
    assert.deepEqual([part.resolved, asked().length], [[1, 2], 1]);

    world.calls.length = 0;
    left.push(...parts);
    for (const filter of [
      { state: 'open', since: 7 },
      { state: 'open', entity: 'pet', order: 'desc' },
    ]) {
      await client.conflicts.bulkResolve('client-wins', filter, { onProgress: halt, signal: stop.signal });
    }
    assert.deepEqual(
      counted(),
      ['{"since":7}', '{"entity":"pet","state":"open"}'],
      'else those that match are looked at',
    );

    world.calls.length = 0;
    const some = await client.conflicts.bulkResolve('client-wins', { limit: 2 }, { dryRun: true });
    assert.deepEqual([some.resolved, some.previews], [[5], []]);
    assert.deepEqual(asked(), [['{"limit":2}', 'dry']]);
  });

  test('detectConflicts asks the server first if told to, and passes its failure on', async () => {
    script.detectConflicts = () => 'null';
    script.sync = () => '{"errors":[]}';
    assert.equal(await client.engine.detectConflicts({ id: 'o1' }, { refresh: true }), null);
    assert.deepEqual(
      world.calls.map(([method]) => method),
      ['sync', 'detectConflicts'],
    );
    script.sync = () => '{"errors":[{"code":"network","message":"gone","retryable":true}]}';
    await assert.rejects(client.engine.detectConflicts({ id: 'o1' }, { refresh: true }), {
      code: 'network',
      retryable: true,
    });
  });

  test('temp IDs: an answer that is not there yet is null, a mapping is one plan however it is asked for', async () => {
    script.resolveTempId = () => 'null';
    assert.equal(await client.tempIds.resolveTempId('temp_1_a_pet'), null);
    script.resolveTempId = () => '"p-7"';
    assert.equal(await client.tempIds.resolveTempId('temp_1_a_pet'), 'p-7');
    await client.tempIds.resolveDependentOperations({ tempId: 'temp_1_a_pet', realId: 9 });
    assert.deepEqual(world.calls.at(-1), ['mapTempToReal', 'temp_1_a_pet', '9']);
    await assert.rejects(client.tempIds.mapTempToReal('12', 9), { code: 'invalid_value' });
  });

  test('relationships: the entity may be read from the temp ID', () => {
    script.validateRelationships = () => '{"valid":true,"errors":[]}';
    client.relationships.validateRelationships({ id: 'temp_1_a_pet', clientId: 3 });
    assert.deepEqual(world.calls.at(-1), ['validateRelationships', 'pet', '{"id":"temp_1_a_pet","clientId":3}']);
    assert.throws(() => client.relationships.validateRelationships({ id: 3 }), { code: 'unknown_entity' });
  });

  test('relationships: a check and a resolution cross as texts, and a failure comes back as an error', async () => {
    const orphan = { entity: 'pet', id: 3, path: 'clientId', target: { entity: 'client', id: 9 }, why: 'missing' };
    const report = { records: 4, references: 2, dangling: [orphan], more: 0, unknown: 1, ok: false };
    script.checkReferences = () => JSON.stringify(report);
    assert.deepEqual(await client.relationships.checkReferentialIntegrity(), report);
    assert.deepEqual(await client.relationships.findOrphanedEntities({ limit: 7 }), [orphan]);
    const refused = { entity: 'pet', id: 3, error: { code: 'has_dependents', message: 'no', details: {} } };
    script.resolveOrphans = () => JSON.stringify({ resolved: [], failed: [refused] });
    const { failed } = await client.relationships.resolveOrphans('delete');
    assert.equal(failed[0].error.name, 'FieldSyncError');
    assert.deepEqual([failed[0].id, failed[0].error.code], [3, 'has_dependents']);
    await client.relationships.resolveOrphans('queue', { dryRun: true, reason: 'a slip' });
    assert.deepEqual(world.calls, [
      ['checkReferences', '{}'],
      ['checkReferences', '{"limit":7}'],
      ['resolveOrphans', 'delete', '{"dryRun":false,"reason":""}'],
      ['resolveOrphans', 'queue', '{"dryRun":true,"reason":"a slip"}'],
    ]);
    await assert.rejects(client.relationships.resolveOrphans(), {
      code: 'invalid_value',
      details: { path: 'strategy' },
    });
  });

  test('integrity: a check goes on from each answer to the end, hands over every fault, and can be stopped', async () => {
    const fault = (id) => ({ code: 'hash', table: 'base', entity: 'pet', id, key: [0, 'pet', id], message: 'no' });
    const progress = { phase: 'base', done: 250, total: 300 };
    const result = { ok: false, at: 7, checked: { base: 300 }, found: 2, truncated: false };
    const steps = [
      { position: { phase: 0, at: [0, 'pet', 250] }, progress, faults: [fault(3)], result: null },
      { position: { phase: 11 }, progress, faults: [fault(299)], result },
    ];
    script.checkIntegrity = () => JSON.stringify(steps[world.calls.length - 1]);
    const heard = [];
    const check = await client.integrity.checkIntegrity({ onProgress: (told) => heard.push(told) });
    assert.deepEqual(check, { ...result, faults: [fault(3), fault(299)] });
    assert.deepEqual(world.calls, [
      ['checkIntegrity', '{}'],
      ['checkIntegrity', '{"phase":0,"at":[0,"pet",250]}'],
    ]);
    assert.deepEqual(heard, [progress, progress]);
    await assert.rejects(client.integrity.checkIntegrity({ signal: AbortSignal.abort() }), { code: 'aborted' });

    script.repair = () => '{"mended":[],"left":[],"hashed":0,"resync":false,"truncated":false}';
    assert.equal((await client.integrity.repair({ dryRun: true })).resync, false);
    assert.deepEqual(world.calls.at(-1), ['repair', '{"dryRun":true}']);
  });

  test('a cycle is thrown with what the engine says about it', () => {
    script.topologicalSort = () => {
      throw fault('dependency_cycle', { details: { cycles: [{ operations: ['a', 'b'], fields: ['petId'] }] } });
    };
    assert.throws(() => client.relationships.topologicalSort([]), {
      code: 'dependency_cycle',
      details: { cycles: [{ operations: ['a', 'b'], fields: ['petId'] }] },
    });
  });

  test('pure functions carry both documents', () => {
    script.deepEqual = (a, b) => String(a === b);
    assert.equal(deepEqual({ a: 1 }, { a: 1 }), true);
    assert.throws(() => deepEqual(undefined, {}), { code: 'invalid_value' });
  });
});
