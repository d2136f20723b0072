/**
 * Conflicts of two devices and the real server, through every method of `conflicts`: found, previewed, decided one by one
 * and many at once, and what lost is brought back and taken back again, for each way in which two sides can meet.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openStage, sync } from './support-stage.mjs';

const SCHEMA = {
  name: 'clinic',
  version: 1,
  entities: { pet: { conflicts: { fields: { dose: 'manual' } } } },
};

describe('conflicts of two devices', { timeout: 120_000 }, () => {
  let stage;
  let here;
  let there;
  const troubles = [];

  before(async () => {
    stage = await openStage({ schema: SCHEMA });
    [here, there] = await stage.tabs(troubles, 'anna', 'ben');
  });
  after(() => stage?.close());

  /** Calls a method of `conflicts` here. */
  const conflicts = (method, ...args) =>
    here.evaluate(([name, more]) => globalThis.app.client.conflicts[name](...more), [method, args]);
  const refusal = (method, ...args) =>
    here.evaluate(
      ([name, more]) => globalThis.app.refusal(() => globalThis.app.client.conflicts[name](...more)),
      [method, args],
    );
  const create = async (data) => {
    await here.evaluate((fields) => globalThis.app.client.create('pet', fields).then(() => undefined), data);
    await sync(here, there);
    const pets = await here.evaluate(
      (wanted) => globalThis.app.client.query('pet', { where: { name: wanted } }),
      data.name,
    );
    return pets[0].id;
  };
  const update = (tab, id, changes) =>
    tab.evaluate(([key, set]) => globalThis.app.client.update('pet', key, set).then(() => undefined), [id, changes]);
  const remove = (tab, id) => tab.evaluate((key) => globalThis.app.client.delete('pet', key).then(() => undefined), id);
  /** The name that both devices show once nothing is left to do; nothing where the record is deleted. */
  const settled = async (id) => {
    await sync(here, there, here, there);
    const names = [];
    for (const tab of [here, there]) {
      names.push(await tab.evaluate(async (key) => (await globalThis.app.client.get('pet', key))?.name, id));
    }
    assert.equal(names[0], names[1]);
    return names[0];
  };
  /** So much later that it is later whatever offset each session measures to the clock of the server. */
  const later = () => new Promise((resolve) => setTimeout(resolve, 500));

  for (const [kind, first, second, winner, loser] of [
    [
      'update-update',
      (id) => update(here, id, { name: 'here' }),
      (id) => update(there, id, { name: 'there' }),
      'there',
      'here',
    ],
    ['update-delete', (id) => update(here, id, { name: 'here' }), (id) => remove(there, id), undefined, 'here'],
    ['delete-update', (id) => remove(here, id), (id) => update(there, id, { name: 'there' }), 'there', undefined],
  ]) {
    test(`${kind}: the loser is read, restored, and the restore is undone`, async () => {
      const record = await create({ name: `met by ${kind}`, dose: 1 });
      await first(record);
      await later();
      await second(record);
      await sync(there);
      assert.equal(await settled(record), winner);
      const [met, ...others] = await conflicts('list', { entity: 'pet', record, kind });
      assert.deepEqual([others, met.state, met.resolvedBy], [[], 'resolved', 'rule']);
      assert.equal(met.localData?.name, loser);
      assert.deepEqual(await conflicts('get', met.id), met);

      const restored = await conflicts('restore', met);
      assert.deepEqual([typeof restored.operationId, restored.kept], ['string', []]);
      assert.equal(await settled(record), loser);
      assert.equal((await refusal('restore', met.id)).code, 'nothing_to_restore');
      const undone = await conflicts('undo', met.id);
      assert.deepEqual(undone.kept, []);
      assert.equal(await settled(record), winner);
      assert.equal((await refusal('undo', met.id)).code, 'nothing_to_undo');

      const [{ steps, state }] = await conflicts('history', { entity: 'pet', record });
      assert.deepEqual(
        steps.map(({ step, by }) => [step, by]),
        [
          ['found', undefined],
          ['resolved', 'rule'],
          ['restored', 'anna'],
          ['undone', 'anna'],
        ],
      );
      assert.deepEqual([steps[2].operationId, steps[3].operationId], [restored.operationId, undone.operationId]);
      assert.equal(state, 'resolved');
    });
  }

  test('many open ones are counted, previewed, decided at once, and one decision is taken back', async () => {
    const records = [];
    for (let at = 0; at < 3; at += 1) records.push(await create({ name: `pet ${at}`, dose: 1 }));
    for (const record of records) {
      await update(here, record, { dose: 2 });
      await update(there, record, { dose: 3 });
    }
    await sync(there, here);
    const open = await conflicts('list', { state: 'open' });
    assert.equal(open.length, 3);
    const judged = await here.evaluate(
      (operations) => Promise.all(operations.map((each) => globalThis.app.client.engine.detectConflicts(each))),
      [open[1].operation, { id: 'of nobody' }],
    );
    assert.deepEqual(judged, [open[1], null]);
    const { total, ...counts } = await conflicts('statistics');
    assert.deepEqual([total, counts.open, counts.resolved, counts.byEntity], [6, 3, 3, { pet: 6 }]);
    assert.equal(counts.oldestOpen, open[0].detectedAt);

    const { record, operation } = await conflicts('preview', open[0], 'client-wins');
    assert.deepEqual([record, operation.kind], [{ name: 'pet 0', dose: 2 }, 'update']);
    const dry = await conflicts('bulkResolve', 'client-wins', {}, { dryRun: true });
    assert.deepEqual([dry.resolved.length, dry.previews[2].record.dose], [3, 2]);
    assert.equal((await conflicts('statistics')).open, 3);

    const { told, stopped, done } = await here.evaluate(async () => {
      const { conflicts } = globalThis.app.client;
      const told = [];
      const stop = new AbortController();
      stop.abort();
      const stopped = await conflicts.bulkResolve('client-wins', {}, { signal: stop.signal });
      const onProgress = (progress) => told.push(progress);
      const done = await conflicts.bulkResolve('client-wins', { entity: 'pet', limit: 2 }, { onProgress });
      return { told, stopped, done };
    });
    assert.deepEqual(stopped, { resolved: [], failed: [] });
    assert.deepEqual(done, { resolved: [open[0].id, open[1].id], failed: [] });
    assert.deepEqual(told, [{ done: 2, total: 2 }]);
    await conflicts('bulkResolve', 'server-wins');
    await sync(here, there);
    const doses = () =>
      there.evaluate(async (ids) => {
        const pets = await Promise.all(ids.map((id) => globalThis.app.client.get('pet', id)));
        return pets.map(({ dose }) => dose);
      }, records);
    assert.deepEqual(await doses(), [2, 2, 3]);

    await conflicts('undo', open[0].id);
    await sync(here, there);
    assert.deepEqual(await doses(), [3, 2, 3]);
    assert.equal((await conflicts('get', open[0].id)).state, 'undone');
    assert.deepEqual((await conflicts('statistics', { entity: 'pet' })).undone, 1);
  });

  test('a filter that makes no sense is refused with its path, and an unknown conflict is said to be one', async () => {
    for (const [filter, path] of [
      [{ state: 'done' }, 'state'],
      [{ limit: 0 }, 'limit'],
      [{ entity: 'pett' }, 'entity'],
      [{ after: 99_999 }, 'after'],
    ]) {
      assert.deepEqual(await refusal('list', filter), { code: 'invalid_value', path, retryable: false });
    }
    assert.equal(await conflicts('get', 99_999), undefined);
    for (const method of ['restore', 'undo']) assert.equal((await refusal(method, 99_999)).code, 'unknown_conflict');
    assert.equal((await refusal('preview', 99_999, 'client-wins')).code, 'unknown_conflict');
    assert.deepEqual(troubles, [[], []]);
  });

  test('what is written while one is open is shown and decided with it, and the rest goes up whatever is decided', async () => {
    const record = await create({ name: 'edited meanwhile', dose: 1 });
    await update(here, record, { dose: 2 });
    await update(there, record, { dose: 3 });
    await sync(there, here);
    await here.evaluate(() => {
      globalThis.told = [];
      globalThis.app.client.on('conflict', ({ id }) => globalThis.told.push(id));
    });
    await update(here, record, { dose: 4, weight: 7 });
    await sync(here);
    const [met] = await conflicts('list', { entity: 'pet', record, state: 'open' });
    assert.deepEqual([met.localData.dose, met.serverData.dose, met.affectedFields], [4, 3, ['dose']]);
    assert.ok((await here.evaluate(() => globalThis.told)).includes(met.id), 'whoever shows it is told');
    await here.evaluate(
      (conflict) => globalThis.app.client.engine.resolveConflict(conflict, { type: 'server-wins' }),
      met,
    );
    await settled(record);
    const shown = async (tab) => {
      const { dose, weight } = await tab.evaluate((key) => globalThis.app.client.get('pet', key), record);
      return [dose, weight];
    };
    assert.deepEqual([await shown(here), await shown(there)], Array(2).fill([3, 7]));
    assert.deepEqual(await conflicts('list', { entity: 'pet', record, state: 'open' }), []);
    await conflicts('restore', met);
    await settled(record);
    assert.deepEqual([await shown(here), await shown(there)], Array(2).fill([4, 7]));
  });
});
