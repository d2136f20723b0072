/**
 * What the schema says of fields, in a real browser against the real server: a bad record is refused here and there with
 * every fault; one that comes down is kept aside, listed, and shown by a release that allows it.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openStage } from './support-stage.mjs';

const declaring = (version, fields) => ({ name: 'clinic', version, entities: { pet: { indexes: ['name'], fields } } });
const SERVER = { dose: { type: 'number', min: 0 } };
const STRICT = { dose: { type: 'number', min: 0, max: 50 }, name: { type: 'string', required: true } };
const FAULTS = [
  { path: 'dose', rule: 'type' },
  { path: 'name', rule: 'required' },
];

describe('what fields may hold', { timeout: 120_000 }, () => {
  let stage;
  let desk;
  let here;
  let there;
  const troubles = [];

  before(async () => {
    stage = await openStage({ schema: declaring(2, SERVER) });
    desk = await stage.device();
    const other = await stage.device();
    here = await desk.tab('anna', { schema: declaring(2, STRICT) });
    there = await other.tab('ben', { schema: declaring(1, {}) });
    troubles.push(desk.troubles, other.troubles);
  });
  after(() => stage?.close());

  const sync = (tab) => tab.evaluate(() => globalThis.app.client.engine.sync());

  test('a bad write is refused with every fault, and nothing is stored', async () => {
    const { error, count } = await here.evaluate(async () => {
      const { client } = globalThis.app;
      const [{ reason }] = await Promise.allSettled([client.create('pet', { dose: 'much' })]);
      return { error: { code: reason.code, ...reason.details }, count: await client.count('pet') };
    });
    assert.deepEqual(error, { code: 'invalid_record', entity: 'pet', path: 'dose', faults: FAULTS });
    assert.equal(count, 0);
  });

  test('what the server does not take is parked, and synced says why', async () => {
    const told = await there.evaluate(async () => {
      const { client } = globalThis.app;
      const saved = await client.create('pet', { name: 'Max', dose: -1 });
      await client.engine.sync();
      const [{ state, reason, payload, operationId }] = await client.queue.list();
      const { status, error } = await saved.synced;
      await client.queue.edit(operationId, { dose: 90 });
      return { state, status, faults: reason.faults, told: error.faults, payload };
    });
    const faults = [{ path: 'dose', rule: 'min' }];
    assert.deepEqual(told, {
      ...{ state: 'parked', status: 'rejected', faults, told: faults },
      payload: { name: 'Max', dose: -1 },
    });
    assert.ok((await sync(there)).success);
  });

  test('what comes down so is kept aside and told, and the others are there', async () => {
    await there.evaluate(() => globalThis.app.client.create('pet', { name: 'Rex', dose: 1 }).then(() => undefined));
    assert.ok((await sync(there)).success);
    const result = await sync(here);
    assert.deepEqual([result.success, result.quarantined], [true, 1]);
    const { names, kept, next } = await here.evaluate(async () => {
      const { client } = globalThis.app;
      const [first] = await client.integrity.quarantine({ limit: 1 });
      const next = await client.integrity.quarantine({ after: first });
      return { names: (await client.query('pet')).map(({ name }) => name), kept: first, next };
    });
    assert.deepEqual([names, next], [['Rex'], []]);
    assert.deepEqual([kept.entity, kept.faults, kept.schemaVersion], ['pet', [{ path: 'dose', rule: 'max' }], 2]);
  });

  test('a release that allows it shows it when it is opened', async () => {
    const shown = await here.evaluate(
      async (settings) => {
        const { app } = globalThis;
        await app.client.close();
        await app.open(settings);
        const [max] = await app.client.query('pet', { where: { name: 'Max' } });
        return { dose: max?.dose, version: max?._sync.version !== null, left: await app.client.integrity.quarantine() };
      },
      await stage.settings('anna', { schema: declaring(3, SERVER) }),
    );
    assert.deepEqual(shown, { dose: 90, version: true, left: [] });
    assert.ok((await sync(here)).success);
  });

  test('nothing broke in the pages', () => assert.deepEqual(troubles.flat(), []));
});
