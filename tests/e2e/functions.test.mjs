/**
 * Functions of the app in a real browser: one decides conflicts, at once and later; what it throws reaches the page's error
 * event and a warning, and a person decides.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openStage } from './support-stage.mjs';

const SCHEMA = {
  name: 'clinic',
  version: 1,
  entities: { pet: { conflicts: { fields: { dose: 'function' } } } },
};

describe('a rule that is a function', { timeout: 120_000 }, () => {
  let stage;
  let here;
  let there;
  const troubles = [];

  before(async () => {
    stage = await openStage({ schema: SCHEMA });
    const [one, other] = [await stage.device(), await stage.device()];
    [here, there] = [await one.tab('anna'), await other.tab('ben')];
    troubles.push(one.troubles, other.troubles);
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

  const sync = async (tab) => {
    const { success, errors } = await tab.evaluate(() => globalThis.app.client.engine.sync());
    assert.ok(success, JSON.stringify(errors));
  };
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
