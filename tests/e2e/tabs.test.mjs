/**
 * Two tabs of one device, and two devices: what they write at the same time.
 *
 * Two tabs share one database and one outbox, so they never conflict: the later write stands on the earlier. Two
 * devices do.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { openStage, TENANT } from './support-stage.mjs';

const FIELDS = 100;
const WRITES_PER_TAB = 30;

describe('two tabs', { timeout: 120_000 }, () => {
  let stage;
  let desk;
  let first;
  let second;
  const operations = [];
  /** The operation that lost against another device. */
  let loser;

  before(async () => {
    stage = await openStage();
    desk = await stage.device();
    first = await desk.tab();
    second = await desk.tab();
  });
  beforeEach(() => {
    stage.gateway.requests.length = 0;
  });
  after(() => stage?.close());

  async function create(page, fields) {
    const { id, operation } = await page.evaluate(async (data) => {
      const { record, operationId } = await globalThis.app.client.create('client', data);
      return { id: record.id, operation: operationId };
    }, fields);
    operations.push(operation);
    return id;
  }

  /** Writes as a tab would, one update for each of these, none waiting for the one before. */
  async function update(page, id, changes) {
    const made = await page.evaluate(
      ([key, list]) =>
        Promise.all(
          list.map(async (change) => (await globalThis.app.client.update('client', key, change)).operationId),
        ),
      [id, changes],
    );
    for (const operation of made) if (!operations.includes(operation)) operations.push(operation);
    return made;
  }

  test('different fields of one record in two tabs at once: both arrive, and both tabs show both', async () => {
    const id = await create(first, { name: 'one', phone: '1' });
    await Promise.all([update(first, id, [{ name: 'two' }]), update(second, id, [{ phone: '2' }])]);
    for (const page of [first, second]) assert.deepEqual(await fields(page, id), { name: 'two', phone: '2' });
    await sync(first);
    const phone = await (await stage.device()).tab('ben');
    await sync(phone);
    const real = (await read(first, id)).id;
    assert.deepEqual(await fields(phone, real), { name: 'two', phone: '2' });
  });

  test('both tabs ask for a session at once: one tab sends, in one request, and the other learns what became of it', async () => {
    const ids = [await create(first, { name: 'from the first' }), await create(second, { name: 'from the second' })];
    const results = await Promise.all([sync(first), sync(second)]);
    assert.deepEqual(results.map(({ synced }) => synced).sort(), [0, 2]);
    const uploads = stage.gateway.uploads();
    assert.equal(uploads.length, 1);
    assert.equal(uploads[0].operations.length, 2);
    for (const page of [first, second]) {
      for (const id of ids) assert.equal(Number.isSafeInteger((await read(page, id)).id), true);
      assert.deepEqual(await page.evaluate(() => globalThis.app.client.queue.list()), []);
    }
  });

  test('the promise of a save in one tab settles when the other tab has sent it', async () => {
    const id = await create(first, { name: 'watched' });
    const outcome = first.evaluate(async (key) => {
      const saved = await globalThis.app.client.update('client', key, { phone: '3' });
      document.documentElement.dataset.saved = saved.operationId;
      return { operation: saved.operationId, ...(await saved.synced) };
    }, id);
    await first.waitForFunction(() => document.documentElement.dataset.saved !== undefined);
    await sync(second);
    const { status, operation } = await outcome;
    assert.equal(status, 'applied');
    if (!operations.includes(operation)) operations.push(operation);
  });

  test('100 overlapping updates of another field each, from both tabs: all are in the record, here and elsewhere', async () => {
    const id = await create(first, { name: 'many' });
    const changes = Array.from({ length: FIELDS }, (_, at) => ({ [`field${at}`]: at }));
    const even = changes.filter((_, at) => at % 2 === 0);
    const odd = changes.filter((_, at) => at % 2 === 1);
    await Promise.all([update(first, id, even), update(second, id, odd)]);
    const wanted = Object.assign({ name: 'many' }, ...changes);
    for (const page of [first, second]) assert.deepEqual(await fields(page, id), wanted);
    await Promise.all([sync(first), sync(second)]);
    const real = (await read(second, id)).id;
    const phone = await (await stage.device()).tab('ben');
    await sync(phone);
    assert.deepEqual(await fields(phone, real), wanted);
    const sent = stage.gateway.sent();
    assert.equal(new Set(sent).size, sent.length, 'no operation was sent twice');
  });

  test('the same field in two tabs: the later write stands, without a conflict', async () => {
    const id = await create(first, { name: 'one' });
    await update(first, id, [{ name: 'two' }]);
    await update(second, id, [{ name: 'three' }]);
    for (const page of [first, second]) assert.deepEqual(await fields(page, id), { name: 'three' });
    await sync(second);
    for (const page of [first, second]) {
      assert.deepEqual(await fields(page, id), { name: 'three' });
      assert.deepEqual(await page.evaluate(() => globalThis.app.client.conflicts.list()), []);
    }
  });

  test('the same field on two devices: one is visible everywhere, the other is kept in the conflict', async () => {
    const id = await create(first, { name: 'Rex', weight: 12 });
    await sync(first);
    const real = (await read(first, id)).id;
    const phone = await (await stage.device()).tab('ben');
    await sync(phone);
    [loser] = await update(first, id, [{ weight: 12.5 }]);
    operations.push(
      ...(await phone.evaluate(
        async (key) => [(await globalThis.app.client.update('client', key, { weight: 13 })).operationId],
        real,
      )),
    );
    await sync(phone);
    await sync(first);
    await sync(phone);
    for (const page of [first, second, phone]) assert.deepEqual(await fields(page, real), { name: 'Rex', weight: 13 });
    const conflicts = await second.evaluate(() => globalThis.app.client.conflicts.list());
    assert.equal(conflicts.length, 1);
    const [{ affectedFields, localData, serverData, state, kind }] = conflicts;
    assert.deepEqual([affectedFields, state, kind], [['weight'], 'resolved', 'update-update']);
    assert.deepEqual([localData.weight, serverData.weight], [12.5, 13]);
  });

  test('both tabs sync by themselves while both write: everything arrives, and no operation is sent twice', async () => {
    const device = await stage.device();
    const tabs = [await device.tab('carol', { autoSync: true }), await device.tab('carol', { autoSync: true })];
    const written = await Promise.all(
      tabs.map((page, tab) =>
        page.evaluate(
          async ([from, count]) => {
            const made = [];
            for (let at = 0; at < count; at += 1) {
              made.push((await globalThis.app.client.create('client', { name: `${from} ${at}` })).operationId);
            }
            return made;
          },
          [tab, WRITES_PER_TAB],
        ),
      ),
    );
    operations.push(...written.flat());
    for (const page of tabs) await page.evaluate(() => globalThis.app.settled());
    assert.deepEqual(stage.gateway.sent().sort(), written.flat().sort());
    assert.deepEqual(device.troubles, []);
  });

  test('the server applied no operation twice', async () => {
    const database = await stage.server.content(TENANT);
    const applied = database.changes.map(({ operation }) => operation);
    assert.equal(new Set(applied).size, applied.length);
    assert.deepEqual(
      applied.filter((operation) => !operations.includes(operation)),
      [],
      'nothing was applied that no tab wrote',
    );
    assert.equal(applied.includes(loser), false);
    const receipts = database.receipts.map(({ operation }) => operation);
    assert.equal(new Set(receipts).size, receipts.length);
    assert.ok(receipts.includes(loser), 'the one that lost has its answer too');
    assert.deepEqual([database.integrity, database.foreignKeys], ['ok', 0]);
    assert.deepEqual(desk.troubles, []);
  });
});

async function sync(page) {
  const result = await page.evaluate(() => globalThis.app.client.engine.sync());
  assert.deepEqual([result.success, result.errors], [true, []]);
  return result;
}

async function read(page, id) {
  return page.evaluate((key) => globalThis.app.client.get('client', key), id);
}

async function fields(page, id) {
  const { id: _, _sync, ...rest } = await read(page, id);
  return rest;
}
