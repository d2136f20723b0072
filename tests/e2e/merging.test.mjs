/**
 * Fields in which both changes count, between devices and the real server: three tills sell from one stock without a
 * network, two people write one list and one text, and nothing of it is lost, done twice or asked about.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openStage, sync } from './support-stage.mjs';

const SCHEMA = {
  name: 'shop',
  version: 1,
  entities: {
    product: {
      conflicts: {
        fields: { stock: 'counter', labels: 'set', lots: { list: 'id' }, story: 'text' },
        groups: [['price', 'currency']],
      },
    },
  },
};

describe('fields in which both changes count', { timeout: 120_000 }, () => {
  let stage;
  let tills;
  const troubles = [];

  before(async () => {
    stage = await openStage({ schema: SCHEMA });
    tills = await stage.tabs(troubles, 'anna', 'ben', 'cleo');
  });
  after(() => stage?.close());

  /** Everybody has the product, by the ID that the server gave it. */
  const product = async (data) => {
    const [till] = tills;
    await till.evaluate((fields) => globalThis.app.client.create('product', fields).then(() => undefined), data);
    await sync(...tills);
    const where = { name: data.name };
    return till.evaluate(
      async (wanted) => (await globalThis.app.client.query('product', { where: wanted }))[0].id,
      where,
    );
  };
  const update = (tab, id, changes) =>
    tab.evaluate(
      ([key, set]) => globalThis.app.client.update('product', key, set).then(() => undefined),
      [id, changes],
    );
  const get = (tab, id) =>
    tab.evaluate(async (key) => {
      const { _sync, id: _, ...fields } = await globalThis.app.client.get('product', key);
      return fields;
    }, id);
  /** What all of them show, once nothing is left to do, and how many conflicts were met for it. */
  const settled = async (id) => {
    await sync(...tills, ...tills, ...tills);
    const shown = [];
    let conflicts = 0;
    for (const till of tills) {
      shown.push(await get(till, id));
      conflicts += (
        await till.evaluate((record) => globalThis.app.client.conflicts.list({ entity: 'product', record }), id)
      ).length;
    }
    assert.deepEqual(shown[1], shown[0]);
    assert.deepEqual(shown[2], shown[0]);
    return { ...shown[0], conflicts };
  };

  test('three tills sell without a network, and each sale counts once', async () => {
    const id = await product({ name: 'hay', stock: 100 });
    for (const [at, till] of tills.entries()) {
      for (let sold = 0; sold < 5; sold += 1) {
        const { stock } = await get(till, id);
        await update(till, id, { stock: stock - (at + 1) });
      }
      assert.equal((await get(till, id)).stock, 100 - 5 * (at + 1), 'each shows what it sold itself');
    }
    assert.deepEqual(await settled(id), { name: 'hay', stock: 100 - 5 * (1 + 2 + 3), conflicts: 0 });
    const change = await tills[0].evaluate(async (key) => {
      await globalThis.app.client.update('product', key, { stock: 60 });
      return (await globalThis.app.client.queue.list())[0].payload;
    }, id);
    assert.deepEqual(change.add, { '/stock': -10 }, 'what is sent is what was done');
    assert.equal((await settled(id)).stock, 60);
  });

  test('items, lots and lines of two people are all there', async () => {
    const lots = [
      { id: 'a', left: 5, shelf: 1 },
      { id: 'b', left: 5, shelf: 1 },
    ];
    const story = 'from the north\ncut in June\ndry';
    const id = await product({ name: 'straw', labels: ['cold'], lots, story, price: 1, currency: 'EUR' });
    const [one, other] = tills;
    await update(one, id, {
      labels: ['cold', 'new'],
      lots: [{ id: 'a', left: 4, shelf: 1 }, lots[1], { id: 'c', left: 9 }],
      story: 'from the far north\ncut in June\ndry',
    });
    await update(other, id, {
      labels: ['dry'],
      lots: [{ id: 'a', left: 5, shelf: 2 }],
      story: 'from the north\ncut in June\nvery dry',
    });
    const { conflicts, labels, lots: now, story: told } = await settled(id);
    assert.deepEqual(labels.sort(), ['dry', 'new']);
    assert.deepEqual(now, [
      { id: 'a', left: 4, shelf: 2 },
      { id: 'c', left: 9 },
    ]);
    assert.equal(told, 'from the far north\ncut in June\nvery dry');
    assert.equal(conflicts, 0);
  });

  test('fields that belong together come from one side, and the other can be brought back', async () => {
    const id = await product({ name: 'oats', price: 1, currency: 'EUR' });
    const [one, other] = tills;
    await update(one, id, { price: 11, currency: 'SEK' });
    await new Promise((resolve) => setTimeout(resolve, 500));
    await update(other, id, { price: 2 });
    assert.deepEqual(await settled(id), { name: 'oats', price: 2, currency: 'EUR', conflicts: 1 });
    await other.evaluate(async (record) => {
      const [met] = await globalThis.app.client.conflicts.list({ entity: 'product', record });
      await globalThis.app.client.conflicts.restore(met);
    }, id);
    assert.deepEqual(await settled(id), { name: 'oats', price: 11, currency: 'SEK', conflicts: 1 });
  });

  test('nothing broke in the pages', () => assert.deepEqual(troubles.flat(), []));
});
