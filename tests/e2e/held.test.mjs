/**
 * A conflict whose device is out of reach: another device of the user is given it, and so is a coordinator. It is decided
 * there without a network, and the server's copy closes.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openStage, TENANT } from './support-stage.mjs';

const SCHEMA = {
  name: 'clinic',
  version: 1,
  entities: { pet: { conflicts: { fields: { dose: 'manual' } } } },
};

describe('conflicts of other devices', { timeout: 120_000 }, () => {
  let stage;
  let first;
  let ben;
  let pets;

  before(async () => {
    stage = await openStage({ schema: SCHEMA });
    first = await (await stage.device()).tab('anna');
    ben = await (await stage.device()).tab('ben');
    await first.evaluate(async () => {
      const { client } = globalThis.app;
      await client.create('pet', { name: 'Rex', dose: 1 });
      await client.create('pet', { name: 'Tom', dose: 1 });
      await client.engine.sync();
    });
    pets = await ben.evaluate(async () => {
      const { client } = globalThis.app;
      await client.engine.sync();
      const found = await client.query('pet', { orderBy: 'name' });
      for (const { id } of found) await client.update('pet', id, { dose: 3 });
      await client.engine.sync();
      return found.map(({ id }) => id);
    });
    await first.evaluate(async (ids) => {
      const { client } = globalThis.app;
      for (const id of ids) await client.update('pet', id, { dose: 2 });
      await client.engine.syncToServer();
    }, pets);
  });
  after(() => stage?.close());

  const open = (tab) =>
    tab.evaluate(async () => (await globalThis.app.client.conflicts.list()).filter(({ state }) => state === 'open'));
  const resolve = (tab, id, strategy) =>
    tab.evaluate(([key, how]) => globalThis.app.client.engine.resolveConflict(key, how), [id, strategy]);
  const sync = (tab) => tab.evaluate(() => globalThis.app.client.engine.sync());

  test('another device of the user is given them, and decides one offline', async () => {
    const second = await (await stage.device()).tab('anna');
    assert.deepEqual([(await sync(second)).success, (await open(first)).length], [true, 2]);
    const held = await open(second);
    for (const [at, id] of pets.entries()) {
      const { origin, baseData, localData, serverData } = held.find(({ recordId }) => recordId === id);
      const name = ['Rex', 'Tom'][at];
      assert.deepEqual([origin, baseData], ['server', null]);
      assert.deepEqual(
        [localData, serverData],
        [
          { name, dose: 2 },
          { name, dose: 3 },
        ],
      );
    }
    assert.equal(held.length, 2);
    assert.deepEqual([...new Set((await open(first)).map(({ origin }) => origin))], ['device']);
    const rex = held.find(({ recordId }) => recordId === pets[0]);
    await second.evaluate(() => globalThis.app.client.setOffline(true));
    const { preview, bulk } = await second.evaluate(async (id) => {
      const { conflicts } = globalThis.app.client;
      const preview = await conflicts.preview(id, 'client-wins');
      return { preview, bulk: await conflicts.bulkResolve('client-wins', {}, { dryRun: true }) };
    }, rex.id);
    assert.deepEqual(
      [preview.id, preview.record, preview.operation.kind],
      [rex.id, { name: 'Rex', dose: 2 }, 'update'],
    );
    assert.deepEqual(new Set(bulk.resolved), new Set(held.map(({ id }) => id)));
    assert.deepEqual(
      bulk.previews.map(({ id }) => id),
      bulk.resolved,
    );
    assert.deepEqual(
      bulk.previews.find(({ id }) => id === rex.id),
      preview,
    );
    await resolve(second, rex.id, 'client-wins');
    assert.equal((await second.evaluate((id) => globalThis.app.client.get('pet', id), pets[0])).dose, 2);
    assert.equal(
      (await second.evaluate(() => globalThis.app.refusal(() => globalThis.app.client.conflicts.fetch()))).code,
      'network',
    );
    await second.evaluate(() => globalThis.app.client.setOffline(false));
    const result = await sync(second);
    assert.deepEqual([result.success, result.synced, result.conflicts], [true, 1, 0]);
    assert.deepEqual(await second.evaluate(() => globalThis.app.client.conflicts.fetch()), { open: 1 });
    await sync(ben);
    assert.equal((await ben.evaluate((id) => globalThis.app.client.get('pet', id), pets[0])).dose, 2);
  });

  test('a coordinator is given those of everybody, and others none', async () => {
    const other = await (await stage.device()).tab('cleo');
    await sync(other);
    assert.deepEqual(await other.evaluate(() => globalThis.app.client.conflicts.fetch()), { open: 0 });
    const token = await stage.server.token(TENANT, 'head', ['coordinator']);
    const head = await (await stage.device()).tab('head', { token });
    await sync(head);
    const [held, ...more] = await open(head);
    assert.deepEqual([held.recordId, held.operation.author, more], [pets[1], 'anna', []]);
    await resolve(head, held.id, { type: 'merge', mergedData: { name: 'Tom', dose: 7 } });
    const result = await sync(head);
    assert.deepEqual([result.success, result.synced], [true, 1]);
    await sync(ben);
    assert.equal((await ben.evaluate((id) => globalThis.app.client.get('pet', id), pets[1])).dose, 7);
  });

  test('the device that met them hears what was decided', async () => {
    await sync(first);
    const shown = (await open(first)).map(({ recordId, serverData }) => [recordId, serverData.dose]);
    assert.deepEqual(
      new Map(shown),
      new Map([
        [pets[0], 2],
        [pets[1], 7],
      ]),
    );
    for (const { id } of await open(first)) await resolve(first, id, 'server-wins');
    const result = await sync(first);
    assert.deepEqual([result.success, result.conflicts, (await open(first)).length], [true, 0, 0]);
    assert.deepEqual(await first.evaluate(() => globalThis.app.client.queue.list()), []);
    const { changes } = await stage.server.content(TENANT);
    assert.equal(changes.length, 6, 'two made, two changed, two decided: none of them twice');
  });
});
