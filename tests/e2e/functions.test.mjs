/**
 * Functions of the app in a real browser: one decides conflicts, one looks at records. What they throw reaches the page's
 * error event and a warning, and a person decides, or the write is refused.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openStage, sync } from './support-stage.mjs';

const SCHEMA = {
  name: 'clinic',
  version: 1,
  entities: { pet: { conflicts: { fields: { dose: 'function' } } }, note: { key: 'uuid' } },
};

describe('a rule that is a function', { timeout: 120_000 }, () => {
  let stage;
  let here;
  let there;
  const troubles = [];

  before(async () => {
    stage = await openStage({ schema: SCHEMA });
    [here, there] = await stage.tabs(troubles, 'anna', 'ben');
    // Functions cannot be sent to a page: it opens once more, with its own.
    await here.evaluate(
      async (settings) => {
        const { app } = globalThis;
        await app.client.close();
        const rules = {
          pet: async ({ localData, serverData, affectedFields, operation }) => {
            await new Promise((resolve) => setTimeout(resolve, 20));
            if (localData.name === 'throw') throw new Error('no idea');
            app.asked = { affectedFields, kind: operation.kind };
            return { type: 'merge', mergedData: { ...serverData, dose: localData.dose + serverData.dose } };
          },
        };
        await app.open({ ...settings, rules });
        app.warnings = [];
        app.client.on('warning', (warning) => app.warnings.push(warning));
      },
      await stage.settings('anna'),
    );
  });
  after(() => stage?.close());

  /** Both changed the dose of a pet, and the other has sent that. */
  const disputed = async (name) => {
    await here.evaluate(
      (pet) => globalThis.app.client.create('pet', { name: pet, dose: 1 }).then(() => undefined),
      name,
    );
    await sync(here);
    await sync(there);
    const id = await there.evaluate(
      async (pet) => (await globalThis.app.client.query('pet', { where: { name: pet } }))[0].id,
      name,
    );
    const set = ([key, dose]) => globalThis.app.client.update('pet', key, { dose }).then(() => undefined);
    await here.evaluate(set, [id, 2]);
    await there.evaluate(set, [id, 3]);
    await sync(there);
    await sync(here);
    return here.evaluate(async (record) => {
      const { client } = globalThis.app;
      const [{ state, resolvedBy, steps }] = await client.conflicts.list({ entity: 'pet', record });
      return { id: record, state, resolvedBy, last: steps.at(-1), dose: (await client.get('pet', record)).dose };
    }, id);
  };

  test('decides, and both devices have what it said', async () => {
    const { id, ...met } = await disputed('Rex');
    assert.deepEqual([met.state, met.resolvedBy, met.dose], ['resolved', 'rule', 5]);
    assert.deepEqual(await here.evaluate(() => globalThis.app.asked), { affectedFields: ['dose'], kind: 'update' });
    await sync(there);
    assert.equal(await there.evaluate(async (key) => (await globalThis.app.client.get('pet', key)).dose, id), 5);
  });

  test('leaves it to a person where it throws', async () => {
    const { id, ...met } = await disputed('throw');
    assert.deepEqual([met.state, met.dose, met.last.step, met.last.how], ['open', 2, 'asked', 'rule_failed']);
    const [{ conflictId, ...warning }] = await here.evaluate(() => globalThis.app.warnings);
    assert.deepEqual(warning, { type: 'warning', code: 'rule_failed', entity: 'pet' });
    await here.evaluate(
      (conflict) => globalThis.app.client.engine.resolveConflict(conflict, 'server-wins'),
      conflictId,
    );
    await sync(here);
    assert.equal(await here.evaluate(async (key) => (await globalThis.app.client.get('pet', key)).dose, id), 3);
  });

  test('nothing else broke in the pages', () => {
    assert.equal(troubles.flat().length, 1, JSON.stringify(troubles));
    assert.match(JSON.stringify(troubles), /no idea/);
  });
});

describe('a validator that is a function', { timeout: 120_000 }, () => {
  let stage;
  let here;
  let there;
  const troubles = [];

  before(async () => {
    stage = await openStage({ schema: SCHEMA });
    [here, there] = await stage.tabs(troubles, 'anna', 'ben');
    await here.evaluate(
      async (settings) => {
        const { app } = globalThis;
        await app.client.close();
        const validators = {
          note: async ({ id, text }) => {
            await new Promise((resolve) => setTimeout(resolve, 20));
            if (text === 'throw') throw new Error('no idea');
            return text === 'bad' ? [{ path: 'text', message: `not on ${typeof id}` }] : null;
          },
        };
        await app.open({ ...settings, validators });
        app.warnings = [];
        app.client.on('warning', (warning) => app.warnings.push(warning));
      },
      await stage.settings('anna'),
    );
  });
  after(() => stage?.close());

  const sync = (tab) => tab.evaluate(() => globalThis.app.client.engine.sync());
  const create = (tab, text) =>
    tab.evaluate(async (said) => {
      const [{ reason }] = await Promise.allSettled([globalThis.app.client.create('note', { text: said })]);
      return reason && { code: reason.code, ...reason.details };
    }, text);

  test('refuses a write with what it says, and one that it breaks down over', async () => {
    assert.equal(await create(here, 'good'), undefined);
    const faults = [{ path: 'text', rule: 'validator', message: 'not on string' }];
    assert.deepEqual(await create(here, 'bad'), { code: 'invalid_record', entity: 'note', path: 'text', faults });
    assert.deepEqual(await create(here, 'throw'), {
      ...{ code: 'validator_failed', entity: 'note' },
      reason: 'validator_failed',
    });
    const [{ recordId, ...warning }] = await here.evaluate(() => globalThis.app.warnings);
    assert.deepEqual(warning, { type: 'warning', code: 'validator_failed', entity: 'note' });
    assert.equal(typeof recordId, 'string');
    assert.equal(await here.evaluate(() => globalThis.app.client.count('note')), 1);
  });

  test('keeps aside what comes down and it refuses, and takes what it breaks down over', async () => {
    for (const text of ['bad', 'throw', 'fine']) await create(there, text);
    assert.ok((await sync(there)).success);
    const result = await sync(here);
    assert.deepEqual([result.success, result.quarantined], [true, 1]);
    const shown = await here.evaluate(async () => {
      const { client } = globalThis.app;
      const [kept] = await client.integrity.quarantine();
      return [kept.faults[0].message, ...(await client.query('note')).map(({ text }) => text).sort()];
    });
    assert.deepEqual(shown, ['not on string', 'fine', 'good', 'throw']);
  });

  test('nothing else broke in the pages', () => {
    assert.equal(troubles.flat().length, 2, JSON.stringify(troubles));
    assert.match(JSON.stringify(troubles), /no idea.*no idea/);
  });
});
