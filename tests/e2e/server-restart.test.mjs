/**
 * The server dies in the middle of a long upload and comes back on the same file: 1,000 operations on 1,000 records, in
 * batches of 50. Twice, and at the two worst moments: killed when a batch was committed and its answer was not yet on
 * the way, and ended by itself when a batch was decided and not yet committed.
 *
 * The page is told nothing. It goes on by itself.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { onceFaults } from './support-server.mjs';
import { openStage, TENANT } from './support-stage.mjs';

const CHAINS = 250;
const BATCH = 50;
const BATCHES = (CHAINS * 4) / BATCH;
/** Killed after this batch was committed. */
const KILLED_AT = 8;
/** Of the uploads to the second life of the server, the one that it does not survive. */
const ENDED_AT = 5;

describe('the server dies half way', { timeout: 180_000 }, () => {
  let stage;
  let desk;
  let page;
  let operations;

  before(async () => {
    stage = await openStage();
    desk = await stage.device();
    page = await desk.tab('anna', {
      autoSync: true,
      batchSize: BATCH,
      batchSizeMax: BATCH,
      backoffBaseMs: 50,
      backoffCapMs: 500,
    });
  });
  after(() => stage?.close());

  test('1,000 records are written, children before their parents', async () => {
    operations = await page.evaluate(async (chains) => {
      const { client } = globalThis.app;
      client.setOffline(true);
      const entities = ['client', 'pet', 'appointment', 'note'];
      const references = { pet: 'clientId', appointment: 'petId', note: 'appointmentId' };
      const ids = Array.from({ length: chains }, () => entities.map((entity) => client.tempIds.generateTempId(entity)));
      const saves = [];
      for (let at = entities.length - 1; at >= 0; at -= 1) {
        const entity = entities[at];
        for (const chain of ids) {
          const data = { id: chain[at], label: chain[0] };
          if (at > 0) data[references[entity]] = chain[at - 1];
          saves.push(client.create(entity, data));
        }
      }
      return (await Promise.all(saves)).map(({ operationId }) => operationId);
    }, CHAINS);
    assert.equal(new Set(operations).size, 4 * CHAINS);
    assert.deepEqual(stage.gateway.uploads(), []);
  });

  test('the server is killed after a commit, ends before another, and the page sends everything by itself', async () => {
    const { gateway, server } = stage;
    let uploads = 0;
    const killed = new Promise((resolve, reject) => {
      gateway.handler = async (exchange) => {
        if (exchange.endpoint === 'upload') uploads += 1;
        if (uploads < KILLED_AT) return exchange.pass();
        gateway.handler = (next) => next.pass();
        const answer = await exchange.forward();
        const signal = await server.kill();
        exchange.cut();
        if (answer.status === 200) resolve(signal);
        else reject(new Error(`the batch was answered with ${answer.status}`));
      };
    });
    await page.evaluate(() => globalThis.app.client.setOffline(false));
    assert.equal(await killed, 'SIGKILL');
    // It knows that the server is away, and that all of the lost batch is still to be sent.
    const refused = await page.evaluate(() =>
      globalThis.app.when((status) => status.state === 'error' && status.lastError?.code === 'network'),
    );
    assert.equal(refused.pending, 4 * CHAINS - (KILLED_AT - 1) * BATCH);

    await server.start(`before-commit:${ENDED_AT}`);
    assert.equal(await server.died(), 'SIGABRT');
    await server.start();
    await page.evaluate(() => globalThis.app.settled());
    assert.deepEqual(await page.evaluate(() => globalThis.app.client.queue.list()), []);
  });

  test('no upload held more than the batch, and the two lost ones were sent again as they were', () => {
    const sent = stage.gateway.uploads().map(({ operations: batch }) => batch.map(({ id }) => id));
    assert.ok(sent.every((batch) => batch.length <= BATCH));
    const repeated = sent.filter((batch, at) => sent.slice(0, at).some((other) => other[0] === batch[0]));
    assert.ok(repeated.length >= 2, `${repeated.length} repeated`);
    for (const batch of repeated) {
      const first = sent.find((other) => other[0] === batch[0]);
      assert.deepEqual(batch, first);
    }
    assert.equal(sent.length - repeated.length, BATCHES);
  });

  test('a second device receives all of it', async () => {
    const phone = await (await stage.device()).tab('ben');
    const result = await phone.evaluate(() => globalThis.app.client.engine.sync());
    assert.deepEqual([result.success, result.downloaded], [true, 4 * CHAINS]);
  });

  test('each operation is in the change rows exactly once, parents before children', async () => {
    const database = await stage.server.content(TENANT);
    assert.deepEqual(onceFaults(database, operations), []);
    const version = new Map(database.changes.map((row) => [`${row.entity} ${row.id}`, row.version]));
    assert.equal(version.size, 4 * CHAINS);
    assert.equal(database.references.length, 3 * CHAINS);
    const early = database.references.filter(
      (row) => !(version.get(`${row.to_entity} ${row.to_id}`) < version.get(`${row.from_entity} ${row.from_id}`)),
    );
    assert.deepEqual(early, [], 'applied before what it refers to');
    // The label of each record is its chain's: every reference leads within its own chain.
    const label = new Map(database.records.map(({ entity, id, data }) => [`${entity} ${id}`, data.label]));
    const astray = database.references.filter(
      (row) => label.get(`${row.from_entity} ${row.from_id}`) !== label.get(`${row.to_entity} ${row.to_id}`),
    );
    assert.deepEqual(astray, []);
    assert.deepEqual(desk.troubles, []);
  });
});
