/**
 * The chain client, pet, appointment, note: one upload, real IDs on every device, the temp ID as another name for ever,
 * and list keys that do not move under the user's hands.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { onceFaults } from './support-server.mjs';
import { openStage, ready, TENANT } from './support-stage.mjs';

/** Entity, the reference to the one before, and a field. */
const CHAIN = [
  ['client', undefined, { name: 'Ada Lindgren' }],
  ['pet', 'clientId', { name: 'Rex' }],
  ['appointment', 'petId', { reason: 'Vaccination' }],
  ['note', 'appointmentId', { text: 'Healthy.' }],
];

describe('keys', { timeout: 120_000 }, () => {
  let stage;
  let desk;
  let page;
  let saved;
  const real = {};

  before(async () => {
    stage = await openStage();
    desk = await stage.device();
    page = await desk.tab();
  });
  after(() => stage?.close());

  test('the chain goes up in one upload request, counted before the server', async () => {
    // The last is written first: a temp ID may be named before its record is there.
    saved = await page.evaluate(async (chain) => {
      const { client } = globalThis.app;
      const ids = chain.map(([entity]) => client.tempIds.generateTempId(entity));
      const operations = [];
      for (let at = chain.length - 1; at >= 0; at -= 1) {
        const [entity, reference, fields] = chain[at];
        const data = { ...fields, id: ids[at], ...(reference ? { [reference]: ids[at - 1] } : {}) };
        const { record, operationId } = await client.create(entity, data);
        if (record.id !== ids[at]) throw new Error(`${entity} was saved as ${record.id}`);
        operations.unshift(operationId);
      }
      return { ids, operations };
    }, CHAIN);
    const keys = await shown(page);
    assert.deepEqual(
      keys.map(({ key }) => key),
      saved.ids,
    );
    assert.deepEqual(stage.gateway.requests, [], 'nothing was sent before it was asked for');

    const result = await page.evaluate(() => globalThis.app.client.engine.sync());
    assert.deepEqual([result.success, result.synced, result.failed, result.conflicts], [true, 4, 0, 0]);
    const uploads = stage.gateway.uploads();
    assert.equal(uploads.length, 1);
    assert.deepEqual(
      uploads[0].operations.map(({ entity }) => entity),
      ['client', 'pet', 'appointment', 'note'],
      'parents first, in whatever order they were written',
    );
  });

  test('every record and every reference has its real ID, and its list key is the one it was first shown with', async () => {
    const now = await shown(page);
    for (const [at, [entity, reference]] of CHAIN.entries()) {
      assert.equal(Number.isSafeInteger(now[at].id), true, `${entity} has ${now[at].id}`);
      assert.equal(now[at].key, saved.ids[at]);
      real[entity] = now[at].id;
      if (reference) assert.equal(now[at].fields[reference], now[at - 1].id);
    }
  });

  test('the temp ID opens the record, in the page and after a reload', async () => {
    const open = (ids) =>
      page.evaluate(
        ([entities, temps]) =>
          Promise.all(
            entities.map(async (entity, at) => {
              const { client } = globalThis.app;
              return [(await client.get(entity, temps[at]))?.id, await client.tempIds.resolveTempId(temps[at])];
            }),
          ),
        [CHAIN.map(([entity]) => entity), ids],
      );
    const wanted = CHAIN.map(([entity]) => [real[entity], real[entity]]);
    assert.deepEqual(await open(saved.ids), wanted);
    await page.reload();
    await ready(page);
    await page.evaluate(async (config) => void (await globalThis.app.open(config)), await stage.settings());
    assert.deepEqual(await open(saved.ids), wanted);
    // A temp ID in a new reference leads to the same record.
    const note = await page.evaluate(async (petId) => {
      const { record } = await globalThis.app.client.create('appointment', { reason: 'Second shot', petId });
      return record;
    }, saved.ids[1]);
    assert.equal(note.petId, real.pet);
  });

  test('a second device receives the same records with real IDs everywhere', async () => {
    const other = await stage.device();
    const phone = await other.tab('ben');
    const result = await phone.evaluate(() => globalThis.app.client.engine.sync());
    assert.deepEqual([result.success, result.downloaded], [true, 4]);
    const there = await shown(phone);
    for (const [at, [entity, reference, fields]] of CHAIN.entries()) {
      const references = reference ? { [reference]: real[CHAIN[at - 1][0]] } : {};
      assert.equal(there[at].id, real[entity]);
      assert.deepEqual(there[at].fields, { ...fields, ...references });
    }
    const everything = await phone.evaluate(
      async (entities) => {
        const { client } = globalThis.app;
        return JSON.stringify(await Promise.all(entities.map((entity) => client.query(entity))));
      },
      CHAIN.map(([entity]) => entity),
    );
    assert.doesNotMatch(everything, /temp_\d/);
    assert.deepEqual(other.troubles, []);
  });

  test('the server holds each once, parents before children', async () => {
    const database = await stage.server.content(TENANT);
    assert.deepEqual(onceFaults(database, saved.operations), []);
    assert.deepEqual(
      database.changes.map(({ entity, operation }) => [entity, operation]),
      CHAIN.map(([entity], at) => [entity, saved.operations[at]]),
    );
    assert.deepEqual(
      new Map(database.tempIds.map(({ temp, id }) => [temp, id])),
      new Map(CHAIN.map(([entity], at) => [saved.ids[at], real[entity]])),
    );
    assert.deepEqual(desk.troubles, []);
  });
});

/** The first record of each entity of the chain, with its list key. */
async function shown(page) {
  return page.evaluate(
    (entities) =>
      Promise.all(
        entities.map(async (entity) => {
          const [{ id, _sync, ...fields }] = await globalThis.app.client.query(entity);
          return { id, key: _sync.key, fields };
        }),
      ),
    CHAIN.map(([entity]) => entity),
  );
}
