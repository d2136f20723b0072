/**
 * References that lead to nothing, through the package: a client deleted on one device while another writes pets of it, found
 * by a check, held back, shown, given up, and deleted where the server has them.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openStage } from './support-stage.mjs';

describe('references that lead to nothing', { timeout: 120_000 }, () => {
  let stage;
  let here;
  let there;
  const troubles = [];

  before(async () => {
    stage = await openStage();
    [here, there] = await stage.tabs(troubles, 'anna', 'ben');
  });
  after(() => stage?.close());

  const client = (tab, method, ...args) =>
    tab.evaluate(
      async ([name, more]) => {
        const { record } = await globalThis.app.client[name](...more);
        return record?.id;
      },
      [method, args],
    );
  const relationships = (method, ...args) =>
    here.evaluate(([name, more]) => globalThis.app.client.relationships[name](...more), [method, args]);
  /** What a resolution comes to: the records by what became of them, and the codes of those that were left. */
  const resolve = (...args) =>
    here.evaluate(async (more) => {
      const { FieldSyncError } = globalThis.app.fieldsync;
      const { resolved, failed } = await globalThis.app.client.relationships.resolveOrphans(...more);
      const codes = failed.map(({ id, error }) => [id, error instanceof FieldSyncError && error.code]);
      return { resolved, failed: codes };
    }, args);
  const sync = (tab) => tab.evaluate(async () => (await globalThis.app.client.engine.sync()).success);
  const queue = () =>
    here.evaluate(async () =>
      (await globalThis.app.client.queue.list()).map(({ state, reason }) => [state, reason.code, reason.path ?? null]),
    );
  const only = async (tab, entity) => {
    const ids = await tab.evaluate(
      async (name) => (await globalThis.app.client.query(name)).map(({ id }) => id),
      entity,
    );
    assert.equal(ids.length, 1);
    return ids[0];
  };

  test('an unsent child of what another device deleted is found, held back and given up', async () => {
    await client(there, 'create', 'client', { name: 'Ada' });
    assert.ok((await sync(there)) && (await sync(here)));
    const parent = await only(here, 'client');
    await client(there, 'delete', 'client', parent);
    assert.ok(await sync(there));
    assert.ok(await here.evaluate(async () => (await globalThis.app.client.engine.syncFromServer()).success));

    const pet = await client(here, 'create', 'pet', { name: 'Rex', clientId: parent });
    const orphan = {
      ...{ entity: 'pet', id: pet, path: 'clientId', target: { entity: 'client', id: parent } },
      ...{ why: 'missing', unsent: true },
    };
    const report = { records: 1, references: 1, dangling: [orphan], more: 0, unknown: 0, ok: false };
    assert.deepEqual(await relationships('checkReferentialIntegrity'), report);
    assert.deepEqual(await relationships('findOrphanedEntities'), [orphan]);
    assert.deepEqual(await relationships('findOrphanedEntities', { limit: 0 }), []);

    const { resolved: kept } = await resolve('keep');
    assert.deepEqual(kept, [{ entity: 'pet', id: pet, action: 'kept', operations: [] }]);
    assert.deepEqual(await queue(), [['pending', 'ready', null]]);
    assert.equal((await resolve('queue')).resolved[0].action, 'queued');
    assert.deepEqual(await queue(), [['parked', 'dangling_reference', 'clientId']]);

    const would = await resolve('delete', { dryRun: true });
    assert.deepEqual((await queue()).length, 1);
    const done = await resolve('delete', { reason: 'the client moved away' });
    assert.deepEqual(done, would);
    const [{ action, operations }] = done.resolved;
    assert.deepEqual([action, operations[0].payload], ['discarded', { name: 'Rex', clientId: parent }]);
    assert.deepEqual([await queue(), (await relationships('checkReferentialIntegrity')).ok], [[], true]);
    const [last] = await here.evaluate(() => globalThis.app.client.audit.query({ order: 'desc', limit: 1 }));
    assert.deepEqual([last.reason, last.entries[0].event], ['the client moved away', 'discarded']);
  });

  test('a child that the server has is deleted by a write, unless another record refers to it', async () => {
    await client(here, 'create', 'client', { name: 'Bob' });
    assert.ok((await sync(here)) && (await sync(there)));
    const parent = await only(here, 'client');
    await client(here, 'delete', 'client', parent);
    await client(there, 'create', 'pet', { name: 'Tom', clientId: parent });
    assert.ok(await sync(there));
    assert.equal(await sync(here), false, 'the server keeps what is referred to');
    const pet = await only(here, 'pet');
    assert.deepEqual(
      (await relationships('findOrphanedEntities')).map(({ id, why }) => [id, why]),
      [[pet, 'deleted']],
    );

    assert.deepEqual(await resolve('queue'), { resolved: [], failed: [[pet, 'not_queued']] });
    const visit = await client(here, 'create', 'appointment', { petId: pet });
    assert.deepEqual(await resolve('delete'), { resolved: [], failed: [[pet, 'has_dependents']] });
    await client(here, 'delete', 'appointment', visit);
    assert.deepEqual((await resolve('delete')).resolved, [
      { entity: 'pet', id: pet, action: 'deleted', operations: [] },
    ]);
    assert.equal((await relationships('checkReferentialIntegrity')).ok, true);
    await sync(here);
    assert.ok(await sync(there));
    assert.equal(await there.evaluate(() => globalThis.app.client.count('pet')), 0);
    assert.deepEqual(troubles, [[], []]);
  });
});
