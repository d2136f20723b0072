/**
 * Sessions of a part: one entity, or named operations, with what they need and nothing else; and a thousand operations
 * in five uploads, because a batch doubles with each that went well.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { onceFaults } from './support-server.mjs';
import { openStage, TENANT } from './support-stage.mjs';

describe('parts', { timeout: 180_000 }, () => {
  let stage;
  let desk;
  let page;
  const operations = [];

  before(async () => {
    stage = await openStage();
    desk = await stage.device();
    page = await desk.tab();
  });
  after(() => stage?.close());

  const waiting = () =>
    page.evaluate(async () => (await globalThis.app.client.queue.list()).map(({ payload }) => payload.name));

  test('one entity goes up with what it needs, and the others wait', async () => {
    operations.push(
      ...(await page.evaluate(async () => {
        const { client } = globalThis.app;
        const ada = await client.create('client', { name: 'Ada' });
        const pet = await client.create('pet', { name: 'Rex', clientId: ada.record.id });
        const ben = await client.create('client', { name: 'Ben' });
        const visit = await client.create('appointment', { name: 'a visit', petId: pet.record.id });
        return [ada, pet, ben, visit].map(({ operationId }) => operationId);
      })),
    );
    const result = await page.evaluate(() => globalThis.app.client.engine.syncEntityType('pet'));
    assert.deepEqual([result.success, result.synced, result.entityType], [true, 2, 'pet']);
    assert.deepEqual(
      stage.gateway.uploads().flatMap(({ operations: sent }) => sent.map(({ entity }) => entity)),
      ['client', 'pet'],
    );
    assert.deepEqual(await waiting(), ['Ben', 'a visit']);
  });

  test('named operations go with what they need, each with its result; the others wait', async () => {
    const batch = await page.evaluate(async () => {
      const { client } = globalThis.app;
      const ben = (await client.queue.list()).find(({ payload }) => payload.name === 'Ben');
      const none = await client.engine.processSyncBatch([]);
      const sent = await client.engine.processSyncBatch([ben.operation]);
      return { none, sent, ben: ben.recordId };
    });
    assert.deepEqual(batch.none.results, []);
    const { results, idMappings, duration, ...counts } = batch.sent;
    assert.deepEqual(counts, { synced: 1, failed: 0, conflicts: 0, errors: [] });
    assert.equal(duration >= 0, true);
    assert.deepEqual(
      results.map(({ offlineId, status, operationId }) => [offlineId, status, operationId]),
      [[batch.ben, 'success', operations[2]]],
    );
    assert.deepEqual(
      idMappings.map(({ tempId, realId, entityType }) => [tempId, realId, entityType]),
      [[batch.ben, results[0].serverId, 'client']],
    );
    assert.deepEqual(await waiting(), ['a visit']);
    const rest = await page.evaluate(async () => {
      const { client } = globalThis.app;
      const listed = await client.queue.list();
      return client.engine.processSyncBatch(listed.map(({ operation }) => operation));
    });
    assert.deepEqual([rest.synced, await waiting()], [1, []]);
  });

  test('one entity comes down alone, and the rest with the next whole session', async () => {
    await page.evaluate(() => globalThis.app.client.engine.sync());
    const phone = await (await stage.device()).tab('ben');
    operations.push(
      ...(await phone.evaluate(async () => {
        const { client } = globalThis.app;
        await client.engine.sync();
        const [pet] = await client.query('pet');
        const [ada] = await client.query('client');
        const saved = [
          await client.update('pet', pet.id, { name: 'Rexy' }),
          await client.update('client', ada.id, { name: 'Ada L.' }),
        ];
        await client.engine.sync();
        return saved.map(({ operationId }) => operationId);
      })),
    );
    const names = async () =>
      page.evaluate(async () => {
        const { client } = globalThis.app;
        const [pet] = await client.query('pet');
        const [ada] = await client.query('client');
        return [pet.name, ada.name];
      });
    const part = await page.evaluate(() => globalThis.app.client.engine.syncEntityType('pet'));
    assert.deepEqual([part.success, part.downloaded, await names()], [true, 1, ['Rexy', 'Ada']]);
    const again = await page.evaluate(() => globalThis.app.client.engine.syncEntityType('pet'));
    const whole = await page.evaluate(() => globalThis.app.client.engine.sync());
    assert.deepEqual([again.success, whole.success, await names()], [true, true, ['Rexy', 'Ada L.']]);
    const unknown = await page.evaluate(() => globalThis.app.client.engine.syncEntityType('dragon'));
    assert.deepEqual([unknown.success, unknown.errors[0].code], [false, 'unknown_entity']);
  });

  test('1,000 operations go up in five uploads', async () => {
    const before = stage.gateway.uploads().length;
    const fresh = await (await stage.device()).tab('carl');
    operations.push(
      ...(await fresh.evaluate(async () => {
        const saves = Array.from({ length: 1_000 }, (_, at) =>
          globalThis.app.client.create('client', { name: `${at}` }),
        );
        return (await Promise.all(saves)).map(({ operationId }) => operationId);
      })),
    );
    const result = await fresh.evaluate(() => globalThis.app.client.engine.syncToServer());
    assert.deepEqual([result.success, result.synced], [true, 1_000]);
    const sizes = stage.gateway.uploads().slice(before);
    assert.deepEqual(
      sizes.map(({ operations: sent }) => sent.length),
      [50, 100, 200, 400, 250],
    );
  });

  test('on the disk of the server: each operation once', async () => {
    assert.deepEqual(onceFaults(await stage.server.content(TENANT), operations), []);
    assert.deepEqual(desk.troubles, []);
  });
});
