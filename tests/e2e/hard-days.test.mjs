/**
 * Hard days of a real browser: what it does to storage, tabs and network beneath the app. Each is told by a code, or the
 * client goes on by itself; nothing that was reported saved is missing, nothing else is there.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { newProfile } from '../environment.mjs';
import { startBrowser } from './support-chromium.mjs';
import { openStage, openTab, TENANT } from './support-stage.mjs';

/** What the disk has room for, and what is written until it is full. */
const ROOM = 2_000_000;
const PIECE = 200_000;
const PIECES_MAX = 40;

describe('hard days', { timeout: 240_000 }, () => {
  let stage;

  before(async () => {
    stage = await openStage();
  });
  after(() => stage?.close());

  test('a full disk is named, loses nothing, and is no matter any more once there is room', async () => {
    // What is not on a disk has no quota.
    const { context } = await startBrowser(stage, await newProfile(stage));
    const troubles = [];
    const page = await openTab(context, stage.site.address, troubles);
    const { origin } = new URL(page.url());
    const cdp = await context.newCDPSession(page);
    await cdp.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: ROOM });
    const settings = await stage.settings('anna');
    await page.evaluate(async (config) => void (await globalThis.app.open(config)), settings);
    const { saved, refused } = await page.evaluate(
      async ([size, times]) => {
        const { client, fieldsync } = globalThis.app;
        for (let saved = 0; saved < times; saved += 1) {
          const bytes = crypto.getRandomValues(new Uint8Array(size / 10));
          const text = Array.from(bytes, (byte) => byte.toString(16).padStart(10, '0')).join('');
          try {
            await client.create('client', { label: `piece ${saved}`, text });
          } catch (error) {
            if (!(error instanceof fieldsync.FieldSyncError)) throw error;
            return { saved, refused: error.code };
          }
        }
        return { saved: times };
      },
      [PIECE, PIECES_MAX],
    );
    assert.equal(refused, 'storage_full');
    const pieces = Array.from({ length: saved }, (_, at) => `piece ${at}`);
    assert.deepEqual(await labels(page), pieces.toSorted());
    await cdp.send('Storage.overrideQuotaForOrigin', { origin });
    await create(page, { label: 'after' });
    assert.equal((await sync(page)).success, true);
    assert.deepEqual(await queue(page), []);
    const there = [...pieces, 'after'].sort();
    assert.deepEqual(await labels(page), there);
    assert.deepEqual(await inDatabase(...there, `piece ${saved}`), there);
    assert.deepEqual(troubles, []);
  });

  for (const [what, happens] of [
    ['a newer app opens a later layout', upgrade],
    ['somebody deletes the database', remove],
  ]) {
    test(`${what}: it does not wait for this tab, which is told to reload`, async () => {
      const device = await stage.device();
      const page = await device.tab('anna');
      await create(page, { label: 'unsent' });
      await page.evaluate(() => {
        globalThis.told = new Promise((resolve) => globalThis.app.client.on('outdated', resolve));
      });
      const other = await openTab(device.context, stage.site.address, device.troubles);
      const [name] = await other.evaluate(async () => (await indexedDB.databases()).map((found) => found.name));
      await other.evaluate(happens, name);
      assert.deepEqual(await page.evaluate(() => globalThis.told), { type: 'outdated' });
      for (const call of ['query', 'create']) {
        const refused = await page.evaluate(
          (method) => globalThis.app.refusal(() => globalThis.app.client[method]('client', {})),
          call,
        );
        assert.deepEqual([refused.code, refused.retryable], ['outdated', false]);
      }
      assert.deepEqual(device.troubles, []);
    });
  }

  test('the storage is cleared under an open tab: it is told to reload, and begins anew', async () => {
    const device = await stage.device();
    const page = await device.tab('anna');
    await create(page, { label: 'sent' });
    assert.equal((await sync(page)).success, true);
    await create(page, { label: 'cleared' });
    const { origin } = new URL(page.url());
    const cdp = await device.context.newCDPSession(page);
    await cdp.send('Storage.clearDataForOrigin', { origin, storageTypes: 'indexeddb' });
    const refused = await page.evaluate(() => globalThis.app.refusal(() => globalThis.app.client.query('client')));
    assert.equal(refused.code, 'outdated');
    const again = await device.tab('anna');
    assert.deepEqual(await queue(again), []);
    assert.equal((await sync(again)).success, true);
    const there = await labels(again);
    assert.ok(there.includes('sent') && !there.includes('cleared'), there.join());
  });

  test('a database that is gone when the app comes back is told of, once', async () => {
    const device = await stage.device();
    const page = await device.tab('lost');
    assert.equal(await page.evaluate(() => globalThis.app.client.storageLoss), null, 'a new device has lost nothing');
    await create(page, { label: 'sent' });
    assert.equal((await sync(page)).success, true);
    await create(page, { label: 'not sent' });
    const before = Date.now();
    await page.evaluate(() => globalThis.app.client.close());
    const cdp = await device.context.newCDPSession(page);
    const { origin } = new URL(page.url());
    await cdp.send('Storage.clearDataForOrigin', { origin, storageTypes: 'indexeddb' });
    const again = await device.tab('lost');
    const loss = await again.evaluate(() => globalThis.app.client.storageLoss);
    assert.equal(loss.unsent, 1);
    assert.ok(loss.lastSeen > 0 && loss.lastSeen <= before);
    await again.evaluate(() => globalThis.app.client.close());
    const third = await device.tab('lost');
    assert.equal(await third.evaluate(() => globalThis.app.client.storageLoss), null);
    // What was wiped is no loss.
    await third.evaluate(() => globalThis.app.client.wipe());
    const fourth = await device.tab('lost');
    assert.equal(await fourth.evaluate(() => globalThis.app.client.storageLoss), null);
    assert.deepEqual(device.troubles, []);
  });

  test('a browser that never says whether it keeps the storage holds nobody up', async () => {
    const device = await stage.device();
    await device.context.addInitScript(() => {
      StorageManager.prototype.persist = () => new Promise(() => {});
    });
    const page = await device.tab('anna');
    const ask = (limitMs) => page.evaluate((limit) => globalThis.app.fieldsync.persistStorage(limit), limitMs);
    assert.equal(await ask({ limitMs: 50 }), null);
    for (const [answer, wanted] of [
      ['Promise.resolve(true)', true],
      ['Promise.resolve(false)', false],
      ['Promise.reject(new TypeError("no"))', null],
    ]) {
      await page.evaluate((code) => {
        StorageManager.prototype.persist = new Function(`return ${code}`);
      }, answer);
      assert.equal(await ask(), wanted, answer);
    }
  });

  test('a tab that the browser froze while it was to send does not stop the others', async () => {
    const device = await stage.device();
    const frozen = await device.tab('ben', { autoSync: true });
    const name = `frozen ${Date.now()}`;
    const cdp = await device.context.newCDPSession(frozen);
    const held = new Promise((resolve) => {
      stage.gateway.handler = async (exchange) => {
        if (exchange.endpoint !== 'upload') return exchange.pass();
        resolve();
        await exchange.gone;
      };
    });
    await create(frozen, { label: name });
    await held;
    await cdp.send('Page.setWebLifecycleState', { state: 'frozen' });
    stage.gateway.handler = (exchange) => exchange.pass();
    const other = await device.tab('ben', { autoSync: true });
    await other.evaluate(() => globalThis.app.settled());
    assert.deepEqual(await inDatabase(name), [name]);
    await cdp.send('Page.setWebLifecycleState', { state: 'active' });
    await frozen.evaluate(() => globalThis.app.settled());
    assert.deepEqual(await inDatabase(name), [name]);
    assert.deepEqual(device.troubles, []);
  });

  test('a browser without IndexedDB says so at once', async () => {
    const device = await stage.device();
    await device.context.addInitScript(() => Object.defineProperty(globalThis, 'indexedDB', { value: undefined }));
    const page = await openTab(device.context, stage.site.address, device.troubles);
    const settings = await stage.settings('anna');
    const refused = await page.evaluate(
      (config) => globalThis.app.refusal(() => globalThis.app.open(config)),
      settings,
    );
    assert.equal(refused.code, 'storage_unavailable');
  });

  test('a browser without locks still sends', async () => {
    const device = await stage.device();
    await device.context.addInitScript(() =>
      Object.defineProperty(Navigator.prototype, 'locks', { get: () => undefined }),
    );
    const page = await device.tab('anna');
    await create(page, { label: 'without locks' });
    assert.deepEqual((await sync(page)).errors, []);
    assert.deepEqual(await inDatabase('without locks'), ['without locks']);
  });

  test('what the browser says of the network is not believed', async () => {
    const device = await stage.device();
    await device.context.addInitScript(() =>
      Object.defineProperty(Navigator.prototype, 'onLine', { get: () => globalThis.lie }),
    );
    const page = await device.tab('anna');
    for (const [lie, reachable] of [
      [false, true],
      [true, false],
    ]) {
      const label = `onLine is ${lie}`;
      await create(page, { label });
      await page.evaluate((value) => {
        globalThis.lie = value;
        dispatchEvent(new Event(value ? 'online' : 'offline'));
      }, lie);
      if (!reachable) stage.gateway.handler = (exchange) => exchange.cut();
      const { success, errors } = await sync(page);
      stage.gateway.handler = (exchange) => exchange.pass();
      assert.deepEqual([success, errors.map(({ code }) => code)], reachable ? [true, []] : [false, ['network']]);
      assert.deepEqual(await inDatabase(label), reachable ? [label] : []);
    }
    assert.equal((await sync(page)).success, true);
  });

  /** Which of these labels the server's database has, in order. */
  async function inDatabase(...wanted) {
    const { records } = await stage.server.content(TENANT);
    await stage.server.start();
    return records
      .map(({ data }) => data.label)
      .filter((label) => wanted.includes(label))
      .sort();
  }
});

const create = (page, fields) =>
  page.evaluate(async (data) => void (await globalThis.app.client.create('client', data)), fields);
const sync = (page) => page.evaluate(() => globalThis.app.client.engine.sync());
const queue = (page) => page.evaluate(() => globalThis.app.client.queue.list());
const labels = (page) =>
  page.evaluate(async () => (await globalThis.app.client.query('client')).map(({ label }) => label).sort());

/** Opens a later layout of a database, in a page. */
async function upgrade(name) {
  const later = await globalThis.app.requested(indexedDB.open(name, 99));
  later.close();
}

/** Deletes a database, in a page. */
async function remove(name) {
  await globalThis.app.requested(indexedDB.deleteDatabase(name));
}
