/**
 * An app whose records have another form than the server's: other names, other values, a field that goes through functions.
 * Two devices, the package and the real server on SQLite; one of the devices runs an app of the server's own form.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openStage, sync } from './support-stage.mjs';

/** The form of the server. */
const THEIRS = {
  name: 'registry',
  version: 1,
  entities: {
    customers: {},
    animals: { references: { owner_id: 'customers' }, conflicts: { default: 'manual' } },
  },
};

/** The form of the app. */
const OURS = {
  name: 'clinic',
  version: 1,
  entities: {
    client: { transform: { version: 1, entity: 'customers', fields: { name: { name: 'full_name' } } } },
    pet: {
      references: { clientId: 'client' },
      conflicts: { default: 'manual' },
      transform: {
        version: 1,
        entity: 'animals',
        fields: {
          clientId: { name: 'owner_id' },
          born: { name: 'birth_date', convert: 'time' },
          species: { convert: { values: { dog: 'D', cat: 'C' } } },
          chip: { name: 'chip_no', convert: { function: ['276-0981'] } },
        },
        drop: ['internal'],
        constants: { source: 'app' },
      },
    },
  },
};

describe('another form on the wire', { timeout: 120_000 }, () => {
  let stage;
  let here;
  let there;
  const troubles = [];

  before(async () => {
    stage = await openStage({ schema: THEIRS });
    [here, there] = await stage.tabs(troubles, 'anna', 'ben');
    // Functions cannot be sent to a page: it opens once more, with its own.
    await here.evaluate(
      async (settings) => {
        const { app } = globalThis;
        await app.client.wipe();
        const chip = {
          toWire: (text) => {
            if (text === 'throw') throw new Error('no idea');
            return Number(text.replace('-', ''));
          },
          toLocal: async (number) => String(number).replace(/^(\d{3})(\d*)$/, '$1-$2'),
        };
        await app.open({ ...settings, transforms: { pet: { chip } } });
      },
      await stage.settings('anna', { schema: OURS }),
    );
  });
  after(() => stage?.close());

  const all = (tab, entity) =>
    tab.evaluate(
      async (name) => (await globalThis.app.client.query(name, {})).map(({ _sync, ...record }) => record),
      entity,
    );
  const update = (tab, entity, id, fields) =>
    tab.evaluate(
      async ([name, key, set]) => void (await globalThis.app.client.update(name, key, set)),
      [entity, id, fields],
    );

  test('a chain goes up as the server has it, and back as the app has it', async () => {
    await here.evaluate(async () => {
      const { client } = globalThis.app;
      const { record } = await client.create('client', { name: 'Ada' });
      await client.create('pet', { clientId: record.id, born: 2_000, species: 'dog', chip: '276-0981' });
    });
    await sync(here, there);
    const [owner] = await all(there, 'customers');
    const [animal] = await all(there, 'animals');
    assert.deepEqual(owner, { id: owner.id, full_name: 'Ada' });
    const sent = { birth_date: '1970-01-01T00:00:02.000Z', species: 'D', chip_no: 2_760_981, source: 'app' };
    assert.deepEqual(animal, { id: animal.id, owner_id: owner.id, ...sent });
    await update(there, 'animals', animal.id, { internal: 'lame', chip_no: 9_990_001 });
    await sync(there, here);
    const [pet] = await all(here, 'pet');
    assert.deepEqual(pet, { id: animal.id, clientId: owner.id, born: 2_000, species: 'dog', chip: '999-0001' });
  });

  test('a conflict is shown and decided in the form of the app', async () => {
    const [{ id }] = await all(here, 'pet');
    await update(there, 'animals', id, { birth_date: '1970-01-01T00:00:05Z' });
    await sync(there);
    await update(here, 'pet', id, { born: 7_000 });
    await sync(here);
    const conflict = await here.evaluate(async () => {
      const [{ id: key, entity, affectedFields, localData, serverData }] = await globalThis.app.client.conflicts.list();
      return { key, entity, affectedFields, born: [localData.born, serverData.born], chip: serverData.chip };
    });
    const told = { entity: 'pet', affectedFields: ['born'], born: [7_000, 5_000], chip: '999-0001' };
    assert.deepEqual(conflict, { key: conflict.key, ...told });
    await here.evaluate((key) => globalThis.app.client.engine.resolveConflict(key, 'client-wins'), conflict.key);
    await sync(here, there);
    assert.equal((await all(there, 'animals'))[0].birth_date, '1970-01-01T00:00:07.000Z');
  });

  test('what has no form is refused before it is stored', async () => {
    const refused = (fields) =>
      here.evaluate(
        (set) =>
          globalThis.app.client.create('pet', set).then(
            () => undefined,
            ({ code, details }) => ({ code, path: details.path }),
          ),
        fields,
      );
    assert.deepEqual(await refused({ born: 'yesterday' }), { code: 'invalid_record', path: 'born' });
    assert.deepEqual(await refused({ birth_date: 1 }), { code: 'invalid_record', path: 'birth_date' });
    assert.deepEqual(await refused({ chip: 'throw' }), { code: 'transform_failed', path: 'chip' });
    assert.equal(await here.evaluate(() => globalThis.app.client.count('pet')), 1);
  });

  test('the server is not started with the form of the app', async () => {
    await assert.rejects(async () => {
      const other = await openStage({ schema: OURS });
      await other.close();
    });
  });

  test('functions that do not come back to the example are refused at once', async () => {
    const refused = await there.evaluate(
      async (settings) => {
        const same = { toWire: (text) => text, toLocal: () => 'another' };
        const found = await globalThis.app.open({ ...settings, transforms: { pet: { chip: same } } }).then(
          () => undefined,
          ({ code, details }) => ({ code, path: details.path }),
        );
        return found;
      },
      await stage.settings('carl', { schema: OURS }),
    );
    assert.deepEqual(refused, { code: 'bad_setting', path: 'transforms.pet.chip' });
  });

  test('nothing else broke in the pages', () => {
    assert.equal(troubles.flat().length, 1, JSON.stringify(troubles));
    assert.match(JSON.stringify(troubles), /no idea/);
  });
});
