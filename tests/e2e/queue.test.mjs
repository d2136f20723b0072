/**
 * What a person does with a queue: sends parked work again, changes it, gives it up; carries unsent work to another
 * device; pauses; empties the device.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { onceFaults } from './support-server.mjs';
import { openStage, ready, TENANT } from './support-stage.mjs';

const sync = (tab) => tab.evaluate(() => globalThis.app.client.engine.sync());
const queue = (tab) => tab.evaluate(() => globalThis.app.client.queue.list());
const all = (tab, entity) => tab.evaluate((type) => globalThis.app.client.query(type), entity);

/** Runs a test with a stage of its own. */
function onStage(name, story) {
  test(name, { timeout: 120_000 }, async () => {
    const stage = await openStage();
    try {
      await story(stage);
    } finally {
      await stage.close();
    }
  });
}

describe('parked work', { timeout: 120_000 }, () => {
  let stage;
  let desk;
  let page;
  let parked;

  before(async () => {
    stage = await openStage();
    desk = await stage.device();
    page = await desk.tab();
  });
  after(() => stage?.close());

  /** A pet of a client that the server does not have, and an appointment of that pet. */
  async function park() {
    await page.evaluate(async () => {
      const { client } = globalThis.app;
      const pet = await client.create('pet', { name: 'Rex', clientId: 4711 });
      await client.create('appointment', { petId: pet.record.id });
      globalThis.pet = pet;
    });
    const result = await sync(page);
    assert.deepEqual([result.success, result.failed], [false, 1]);
    const [failed] = result.results;
    assert.deepEqual([failed.status, failed.serverId, failed.entityType], ['failed', null, 'pet']);
    const items = await queue(page);
    assert.deepEqual(
      items.map(({ entity, state, reason }) => [entity, state, reason.code]),
      [
        ['pet', 'parked', 'reference_missing'],
        ['appointment', 'blocked', 'waits_for_operation'],
      ],
    );
    assert.deepEqual(items[1].reason.waitsFor, [items[0].operationId]);
    [parked] = items;
  }

  test('a retry as it was is refused as it was, and keeps its payload', async () => {
    await park();
    await page.evaluate((item) => globalThis.app.client.queue.retry(item), parked);
    assert.equal((await sync(page)).failed, 1);
    const [again, waiting] = (await queue(page)).sort((a, b) => b.entity.localeCompare(a.entity));
    assert.deepEqual(
      [again.state, again.payload, again.operation.supersedes],
      ['parked', parked.payload, parked.operationId],
    );
    assert.deepEqual([waiting.state, waiting.reason.waitsFor], ['blocked', [again.operationId]]);
    const refused = (item) =>
      page.evaluate((known) => globalThis.app.refusal(() => globalThis.app.client.queue.retry(known)), item);
    assert.equal((await refused(parked)).code, 'unknown_operation');
    assert.equal((await refused(waiting)).code, 'not_parked');
    parked = again;
  });

  test('an edit sends it, and with it all that waited', async () => {
    const settled = await page.evaluate(async (item) => {
      const { client } = globalThis.app;
      const { record } = await client.create('client', { name: 'Ada' });
      await client.queue.edit(item.operationId, { clientId: record.id, name: 'Rexy' });
      const result = await client.engine.sync();
      return { result, pet: await client.get('pet', globalThis.pet.record.id) };
    }, parked);
    assert.deepEqual([settled.result.success, settled.result.synced, await queue(page)], [true, 3, []]);
    const [client] = await all(page, 'client');
    const [appointment] = await all(page, 'appointment');
    assert.deepEqual([settled.pet.name, settled.pet.clientId, settled.pet._sync.state], ['Rexy', client.id, undefined]);
    assert.equal(appointment.petId, settled.pet.id);
  });

  test('a discard takes what depends on it along, says so, and leaves the rest', async () => {
    await park();
    const done = await page.evaluate(async (item) => {
      const { client } = globalThis.app;
      const kept = await client.create('client', { name: 'Ben' });
      const { discarded } = await client.queue.discard(item);
      return { discarded, outcome: await globalThis.pet.synced, kept: kept.operationId };
    }, parked);
    assert.equal(done.discarded.length, 2);
    assert.equal(done.discarded[0], parked.operationId);
    // The first answer stands: the server refused it.
    assert.equal(done.outcome.status, 'rejected');
    assert.deepEqual(
      (await queue(page)).map(({ operationId }) => operationId),
      [done.kept],
    );
    assert.deepEqual([(await all(page, 'pet')).length, (await all(page, 'appointment')).length], [1, 1]);
    assert.equal((await sync(page)).success, true);
  });

  test('what may have reached the server is not given up', async () => {
    stage.gateway.handler = async (exchange) => {
      if (exchange.endpoint === 'upload') await exchange.forward();
      exchange.cut();
    };
    const code = await page.evaluate(async () => {
      const { client, refusal } = globalThis.app;
      const { operationId } = await client.create('client', { name: 'Carl' });
      await client.engine.sync();
      return (await refusal(() => client.queue.discard(operationId))).code;
    });
    stage.gateway.handler = (exchange) => exchange.pass();
    assert.equal(code, 'sealed');
    assert.deepEqual([(await sync(page)).success, await queue(page)], [true, []]);
  });

  test('the server has what was not given up, once', async () => {
    const database = await stage.server.content(TENANT);
    assert.equal(database.changes.length, 5);
    assert.equal(new Set(database.changes.map(({ operation }) => operation)).size, 5);
    assert.deepEqual([database.integrity, database.foreignKeys], ['ok', 0]);
    assert.deepEqual(desk.troubles, []);
  });
});

describe('unsent work moves', { timeout: 240_000 }, () => {
  for (const first of ['the new device', 'the old device']) {
    onStage(`exported here, imported there, ${first} sends first: everything once`, async (stage) => {
      const [old, fresh] = [await (await stage.device()).tab(), await (await stage.device()).tab()];
      const known = await old.evaluate(async () => {
        const { client } = globalThis.app;
        const saved = await client.create('client', { name: 'Ada' });
        await client.engine.sync();
        return saved.operationId;
      });
      await sync(fresh);
      const written = await old.evaluate(async () => {
        const { client } = globalThis.app;
        const [ada] = await client.query('client');
        const pet = await client.create('pet', { name: 'Rex', clientId: ada.id });
        const note = await client.update('client', ada.id, { name: 'Ada Lindgren' });
        return { operations: [pet.operationId, note.operationId], file: await client.queue.export() };
      });
      if (first === 'the old device') await sync(old);
      const moved = await fresh.evaluate(async (text) => {
        const { client } = globalThis.app;
        // As a person brings it: a file.
        const told = [await client.queue.import(new File([text], 'unsent.json')), await client.queue.import(text)];
        return { told, shown: (await client.query('pet')).map(({ name }) => name) };
      }, written.file);
      assert.deepEqual(moved, {
        told: [
          { imported: 2, known: 0 },
          { imported: 0, known: 2 },
        ],
        shown: ['Rex'],
      });
      for (const tab of [fresh, old, fresh]) assert.equal((await sync(tab)).success, true);
      for (const tab of [old, fresh]) {
        const [ada] = await all(tab, 'client');
        const pets = await all(tab, 'pet');
        assert.deepEqual([ada.name, pets.length, pets[0].clientId], ['Ada Lindgren', 1, ada.id]);
        assert.deepEqual(await queue(tab), []);
      }
      const stranger = await (await stage.device()).tab('ben');
      const refused = await stranger.evaluate(
        (text) => globalThis.app.refusal(() => globalThis.app.client.queue.import(text)),
        written.file,
      );
      assert.equal(refused.code, 'identity_mismatch');
      assert.deepEqual(onceFaults(await stage.server.content(TENANT), [known, ...written.operations]), []);
    });
  }
});

describe('pause', { timeout: 120_000 }, () => {
  onStage('it holds in every tab and over a reload; saving goes on; resume sends everything', async (stage) => {
    const desk = await stage.device();
    const more = { autoSync: true, pollMs: 1_000 };
    const [page, other] = [await desk.tab('anna', more), await desk.tab('anna', more)];
    await page.evaluate(() => globalThis.app.settled());
    await page.evaluate(() => globalThis.app.client.engine.pause());
    await other.evaluate(() => globalThis.app.when((status) => status.paused));
    const before = stage.gateway.requests.length;
    for (const tab of [page, other]) {
      await tab.evaluate(() => globalThis.app.client.create('client', { name: 'kept' }));
      const asked = await sync(tab);
      assert.deepEqual([asked.success, asked.errors.map(({ code }) => code)], [false, ['paused']]);
    }
    await page.reload();
    await ready(page);
    const status = await page.evaluate(
      async (config) => {
        const client = await globalThis.app.open(config);
        await client.create('client', { name: 'after the reload' });
        // Longer than from one look for changes to the next. That nothing happens has no event to wait for.
        await new Promise((resolve) => setTimeout(resolve, 1_500));
        return client.engine.status();
      },
      await stage.settings('anna', more),
    );
    assert.deepEqual([status.paused, status.reason, status.pending], [true, 'paused', 3]);
    assert.equal(stage.gateway.requests.length, before, 'nothing was sent, in either tab');

    await page.evaluate(() => globalThis.app.client.engine.resume());
    await page.evaluate(() => globalThis.app.settled());
    const after = await other.evaluate(() => globalThis.app.when(({ paused, pending }) => !paused && pending === 0));
    assert.equal(after.reason, null);
    assert.equal((await stage.server.content(TENANT)).changes.length, 3);
    assert.deepEqual(desk.troubles, []);
  });
});

describe('wipe', { timeout: 120_000 }, () => {
  onStage('unsent work stands in its way, unless it is to go too; then the device is empty', async (stage) => {
    const desk = await stage.device();
    const page = await desk.tab();
    await page.evaluate(async () => {
      const { client } = globalThis.app;
      await client.create('client', { name: 'sent' });
      await client.engine.sync();
      globalThis.unsent = await client.create('client', { name: 'unsent' });
    });
    const refused = await page.evaluate(async () => {
      const { client } = globalThis.app;
      const error = await client.wipe().catch((cause) => cause);
      return { code: error.code, details: error.details, count: await client.count('client') };
    });
    assert.deepEqual(refused, { code: 'unsent_work', details: { unsent: 1 }, count: 2 });

    const settings = await stage.settings();
    const wiped = await page.evaluate(async (config) => {
      const { app } = globalThis;
      const closed = app.client;
      const done = await closed.wipe({ force: true });
      const { status } = await globalThis.unsent.synced;
      const { code } = await app.refusal(() => closed.count('client'));
      const client = await app.open(config);
      const left = [await client.count('client'), (await client.queue.list()).length];
      const result = await client.engine.sync();
      return {
        done,
        status,
        code,
        left,
        downloaded: result.downloaded,
        names: (await client.query('client')).map(({ name }) => name),
      };
    }, settings);
    const empty = { code: 'closed', left: [0, 0], downloaded: 1, names: ['sent'] };
    assert.deepEqual(wiped, { done: { discarded: 1 }, status: 'discarded', ...empty });
    const clean = await page.evaluate(() => globalThis.app.client.wipe());
    assert.deepEqual(clean, { discarded: 0 });
    assert.equal((await stage.server.content(TENANT)).changes.length, 1);
    assert.deepEqual(desk.troubles, []);
  });
});
