/**
 * What a delete does to the records that refer to its own, and records that refer to each other: two devices, the package and
 * the real server on SQLite.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openStage, sync } from './support-stage.mjs';

const SCHEMA = {
  name: 'farms',
  version: 1,
  entities: {
    farm: {},
    stall: {
      references: { farmId: 'farm' },
      onDelete: { farmId: 'cascade' },
      conflicts: { default: 'manual' },
    },
    cow: {
      references: { stallId: 'stall', dam: 'cow' },
      onDelete: { stallId: 'cascade', dam: 'set-null' },
    },
    paper: { references: { cowId: 'cow' } },
  },
};

describe('deletes that take others along', { timeout: 120_000 }, () => {
  let stage;
  let here;
  let there;
  const troubles = [];

  before(async () => {
    stage = await openStage({ schema: SCHEMA });
    [here, there] = await stage.tabs(troubles, 'anna', 'ben');
  });
  after(() => stage?.close());

  const create = (tab, entity, data) =>
    tab.evaluate(
      async ([name, fields]) => (await globalThis.app.client.create(name, fields)).record.id,
      [entity, data],
    );
  /** Deletes a record; gives the code where that is refused. */
  const remove = (tab, entity, id) =>
    tab.evaluate(
      ([name, key]) =>
        globalThis.app.client.delete(name, key).then(
          () => undefined,
          ({ code }) => code,
        ),
      [entity, id],
    );
  /** Everything, by entity, without what belongs to FieldSync. */
  const seen = (tab) =>
    tab.evaluate(async () => {
      const all = {};
      for (const entity of ['farm', 'stall', 'cow', 'paper']) {
        const records = await globalThis.app.client.query(entity, { orderBy: 'id' });
        all[entity] = records.map(({ _sync, ...record }) => record);
      }
      return all;
    });
  const queue = (tab) =>
    tab.evaluate(async () =>
      (await globalThis.app.client.queue.list()).map(({ kind, entity, state, reason }) => [
        kind,
        entity,
        state,
        reason.code,
      ]),
    );
  /** A farm with a stall, a cow in it and a calf of that cow elsewhere, as both have them. */
  const farm = async (name) => {
    const own = await create(here, 'farm', { name });
    const stall = await create(here, 'stall', { farmId: own });
    const cow = await create(here, 'cow', { stallId: stall, name: 'Elsa' });
    await create(here, 'cow', { dam: cow, name: 'Ida' });
    await sync(here, there);
    const { farm: farms, stall: stalls, cow: cows } = await seen(there);
    return { farm: farms.at(-1).id, stall: stalls.at(-1).id, cow: cows.at(-2).id, calf: cows.at(-1).id };
  };

  test('what is declared goes along without a network, and what only the server knows with it', async () => {
    const { farm: own, calf } = await farm('Linden');
    assert.equal(await remove(here, 'farm', own), undefined);
    assert.deepEqual(await queue(here), [
      ['update', 'cow', 'pending', 'ready'],
      ['delete', 'cow', 'pending', 'ready'],
      ['delete', 'stall', 'pending', 'ready'],
      ['delete', 'farm', 'pending', 'ready'],
    ]);
    // Meanwhile the farm gets another stall and a cow in it, elsewhere.
    const stall = await create(there, 'stall', { farmId: own });
    await create(there, 'cow', { stallId: stall, name: 'Ute' });
    await sync(there, here, there, here);
    const left = { farm: [], stall: [], cow: [{ id: calf, dam: null, name: 'Ida' }], paper: [] };
    assert.deepEqual([await seen(here), await seen(there)], [left, left]);
    assert.deepEqual(await queue(here), []);
  });

  test('one that stands in the way keeps everything, whether it is known here or not', async () => {
    const { farm: own, cow, stall } = await farm('Buchen');
    await create(here, 'paper', { cowId: cow });
    const before = await seen(here);
    assert.equal(await remove(here, 'farm', own), 'has_dependents');
    assert.deepEqual(await seen(here), before);
    await sync(here);
    // There nobody knows of the paper: the server does.
    assert.equal(await remove(there, 'stall', stall), undefined);
    const { success, failed } = await there.evaluate(() => globalThis.app.client.engine.sync());
    assert.deepEqual([success, failed], [false, 1]);
    assert.ok((await queue(there)).some(([, , state, code]) => state === 'parked' && code === 'has_dependents'));
    await sync(here);
    assert.deepEqual(
      await seen(here),
      { ...before, paper: [{ id: 1, cowId: cow }] },
      'it has its ID, and nothing went',
    );
  });

  test('two that were created one by one so that they refer to each other go up', async () => {
    await here.evaluate(async () => {
      const { client } = globalThis.app;
      const [one, two] = [client.tempIds.generateTempId('cow'), client.tempIds.generateTempId('cow')];
      await client.create('cow', { id: one, name: 'A', dam: two });
      await client.create('cow', { id: two, name: 'B', dam: one });
    });
    await sync(here, here);
    assert.deepEqual(await queue(here), []);
    const { cow: cows } = await seen(here);
    const [one, two] = ['A', 'B'].map((name) => cows.find((cow) => cow.name === name));
    assert.deepEqual([one.dam, two.dam], [two.id, one.id]);
  });

  test('nothing went wrong on the way', () => {
    assert.deepEqual(troubles.flat(), []);
  });
});
