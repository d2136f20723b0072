/**
 * The wasm instance of a page dies: inside a call, in a task between calls, in the middle of a save, in the middle of an
 * upload. The page goes on without a reload, nothing is lost or doubled, and another tab notices nothing.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { armDeath } from './support-death.mjs';
import { onceFaults } from './support-server.mjs';
import { openStage, openTab, TENANT } from './support-stage.mjs';

describe('the instance dies', { timeout: 180_000 }, () => {
  let stage;
  const operations = [];
  const names = [];

  before(async () => {
    stage = await openStage();
  });
  afterEach(() => {
    stage.gateway.handler = (exchange) => exchange.pass();
  });
  after(() => stage?.close());

  /** A device whose pages can be killed. A sender that is silent keeps its role for longer than a test takes. */
  async function openDevice(user, more) {
    const { context } = await stage.device();
    await context.addInitScript(armDeath);
    const settings = await stage.settings(user, { silenceMs: 600_000, ...more });
    const tab = async () => {
      const troubles = [];
      const page = await openTab(context, stage.site.address, troubles);
      await page.evaluate(async (config) => void (await globalThis.app.open(config)), settings);
      return { page, troubles };
    };
    return { tab, settings };
  }

  async function save(page, name) {
    operations.push(
      await page.evaluate(async (fields) => (await globalThis.app.client.create('client', fields)).operationId, {
        name,
      }),
    );
    names.push(name);
  }
  const sync = (page) => page.evaluate(() => globalThis.app.client.engine.sync());
  /** Those of these names that the page shows, as often as it does; a session brings other tests' too. */
  const shown = (page, wanted) =>
    page.evaluate(async (list) => {
      const found = await globalThis.app.client.query('client', { orderBy: 'name' });
      return found.map(({ name }) => name).filter((name) => list.includes(name));
    }, wanted);
  const queued = (page) =>
    page.evaluate(async () => (await globalThis.app.client.queue.list()).map(({ operationId }) => operationId));
  /** The code of what a call in the page is refused with. */
  const refusal = (page, call, argument) =>
    page.evaluate(
      ([text, value]) =>
        globalThis.app.refusal(() => new Function('app', 'value', `return ${text}`)(globalThis.app, value)),
      [call, argument],
    );

  test('inside a call: that call and those that wait are answered, and the next save needs no reload', async () => {
    const { page, troubles } = await (await openDevice('anna')).tab();
    await save(page, 'before the death');
    const answers = await page.evaluate(async () => {
      const { client, refusal: code } = globalThis.app;
      const { synced } = await client.update('client', (await client.query('client'))[0].id, { phone: '1' });
      const waiting = [
        code(() => client.query('client')),
        code(() => client.queue.list()),
        code(() => client.engine.sync()),
      ];
      const inside = globalThis.kill.now(client);
      const between = await code(async () => client.engine.status());
      return { inside, between, waiting: await Promise.all(waiting), outcome: (await synced).error.code };
    });
    assert.equal(answers.inside, 'instance_dead');
    assert.deepEqual([answers.between.code, answers.between.retryable], ['instance_dead', true]);
    for (const answer of answers.waiting) assert.deepEqual([answer.code, answer.retryable], ['instance_dead', false]);
    assert.equal(answers.outcome, 'instance_dead');

    const mine = ['after the death', 'before the death'];
    assert.deepEqual(await shown(page, mine), mine.slice(1));
    await save(page, mine[0]);
    const result = await sync(page);
    assert.deepEqual([result.success, await queued(page)], [true, []]);
    assert.deepEqual(await shown(page, mine), mine);
    assert.deepEqual(troubles, []);
  });

  test('in a task between calls: the client comes back by itself, listeners go on, and what was unsent goes', async () => {
    const { page, troubles } = await (await openDevice('ben', { autoSync: true })).tab();
    await page.evaluate(() => globalThis.app.settled());
    stage.gateway.handler = (exchange) => exchange.cut();
    await save(page, 'while the server is away');
    await page.evaluate(() => globalThis.app.when(({ state }) => state === 'error'));
    stage.gateway.handler = (exchange) => exchange.pass();
    const told = await page.evaluate(async () => {
      const { client } = globalThis.app;
      const looked = new Promise((resolve) => {
        client.on('change', ({ entity, source }) => entity === 'note' && resolve(source));
      });
      const died = new Promise((resolve) => {
        globalThis.addEventListener('error', ({ error }) => resolve(error.constructor.name), { once: true });
      });
      const sent = globalThis.app.settled();
      // A session begins for this event, and its request needs a number.
      globalThis.kill.atNextRandomNumber();
      globalThis.dispatchEvent(new Event('online'));
      return { died: await died, looked: await looked, pending: (await sent).pending };
    });
    assert.deepEqual(told, { died: 'RuntimeError', looked: 'elsewhere', pending: 0 });
    assert.deepEqual(await queued(page), []);
    assert.equal(troubles.length, 1, 'the panic itself is told to the page, once');
    assert.match(troubles[0], /unreachable/);
  });

  test('a save that dies before its transaction has stored nothing', async () => {
    const { page } = await (await openDevice('carl')).tab();
    await save(page, 'carl’s');
    await page.evaluate(() => globalThis.kill.atNextRandomNumber());
    const refused = await refusal(page, `app.client.create('client', { name: 'nobody' })`);
    assert.equal(refused.code, 'instance_dead');
    assert.deepEqual([await shown(page, ['carl’s', 'nobody']), await queued(page)], [['carl’s'], operations.slice(-1)]);
    assert.equal((await sync(page)).synced, 1);
  });

  for (const [moment, user] of [
    ['betweenTwoWrites', 'dora'],
    ['inTheFirstWrite', 'hal'],
  ]) {
    test(`a save that dies in the middle of its transaction has stored nothing of it: ${moment}`, async () => {
      const { page } = await (await openDevice(user)).tab();
      const whole = `${user} 1`;
      await save(page, whole);
      await page.evaluate((way) => globalThis.kill[way](globalThis.app.client), moment);
      const refused = await refusal(page, `app.client.create('client', { name: 'half' })`);
      assert.equal(refused.code, 'instance_dead');
      assert.deepEqual([await shown(page, [whole, 'half']), await queued(page)], [[whole], operations.slice(-1)]);
      await save(page, `${user} 2`);
      assert.equal((await sync(page)).synced, 2);
    });
  }

  test('in the middle of an upload: the sender’s role is free at once, and the other tab is not disturbed', async () => {
    const device = await openDevice('emil');
    const { page, troubles } = await device.tab();
    const other = await device.tab();
    await save(page, 'sent by the dead one');
    const committed = new Promise((resolve) => {
      stage.gateway.handler = async (exchange) => {
        if (exchange.endpoint !== 'upload') return exchange.pass();
        stage.gateway.handler = (next) => next.pass();
        resolve((await exchange.forward()).status);
        // The answer reaches nobody; the dead instance gave the request up.
        await exchange.gone;
      };
    });
    const syncing = refusal(page, 'app.client.engine.sync()');
    assert.equal(await committed, 200);
    // The other tab waits for the role, and has a save of its own.
    await save(other.page, 'of the other tab');
    const others = sync(other.page);
    assert.equal(await page.evaluate(() => globalThis.kill.now(globalThis.app.client)), 'instance_dead');
    assert.equal((await syncing).code, 'instance_dead');

    const sent = await others;
    assert.deepEqual([sent.success, sent.synced, sent.errors], [true, 2, []]);
    assert.deepEqual(await queued(page), []);
    const all = ['after it', 'of the other tab', 'sent by the dead one'];
    assert.deepEqual(await shown(page, all), all.slice(1));
    await save(page, all[0]);
    assert.equal((await sync(page)).synced, 1);
    assert.deepEqual(await shown(other.page, all), all);
    assert.deepEqual([troubles, other.troubles], [[], []]);
  });

  test('its connections are closed: once the client is, the database can be deleted at once', async () => {
    const { page } = await (await openDevice('fay')).tab();
    await page.evaluate(() => globalThis.kill.now(globalThis.app.client));
    await page.evaluate(async () => {
      const { client, requested } = globalThis.app;
      await client.query('client');
      await client.close();
      const [{ name }] = await indexedDB.databases();
      await requested(indexedDB.deleteDatabase(name));
    });
  });

  test('twenty deaths in a row: each save before and after them is there', async () => {
    const { page } = await (await openDevice('gus')).tab();
    const before = names.length;
    for (let round = 0; round < 20; round += 1) {
      await save(page, `round ${round}`);
      assert.equal(await page.evaluate(() => globalThis.kill.now(globalThis.app.client)), 'instance_dead');
    }
    const rounds = names.slice(before).sort();
    assert.deepEqual(await shown(page, rounds), rounds);
    assert.equal((await sync(page)).synced, 20);
  });

  test('on the disk of the server: each operation once', async () => {
    const { changes, receipts, records, ...rest } = await stage.server.content(TENANT);
    // The update of the first test became part of its create or went alone: what it wrote is there, once.
    const known = new Set(operations);
    const own = ({ operation }) => known.has(operation);
    const database = { ...rest, changes: changes.filter(own), receipts: receipts.filter(own) };
    assert.deepEqual(onceFaults(database, operations), []);
    assert.deepEqual(records.map(({ data }) => data.name).sort(), [...names].sort());
  });
});
