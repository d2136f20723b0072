/**
 * The browser dies while it makes the layout of a new database, or brings an older one to the present: SIGKILL to all its
 * processes, after each of the stores, and after the index that is new. The next start finds nothing half made, and makes
 * all of it.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { RELEASES, restore, SCHEMA as SCHEMA_OF_RELEASES } from '../engines/support-release.mjs';
import { newProfile } from '../environment.mjs';
import { startBrowser } from './support-chromium.mjs';
import { openStage, openTab } from './support-stage.mjs';

/** The version of the layout. */
const LAYOUT = 2;
/** Its object stores. */
const STORES = 9;

describe('the browser is killed while it makes the layout', { timeout: 180_000 }, () => {
  let stage;
  let reached = () => {};
  before(async () => {
    stage = await openStage({
      // Never answered: who asks is killed.
      answer: async ({ url }) => {
        if (url === '/made') reached();
        return url === '/made';
      },
    });
  });
  after(() => stage?.close());

  for (let step = 1; step <= STORES; step += 1) {
    test(`after ${step} of its stores: the next start makes all of it`, async () => {
      const profile = await newProfile(stage);
      const settings = await stage.settings();
      const troubles = [];
      const { context, kill } = await startBrowser(stage, profile);
      const page = await openTab(context, stage.site.address, troubles);
      const made = new Promise((resolve) => {
        reached = resolve;
      });
      const opening = page
        .evaluate(
          async ([stop, config]) => {
            const { createObjectStore } = IDBDatabase.prototype;
            let stores = 0;
            IDBDatabase.prototype.createObjectStore = function (...args) {
              const store = createObjectStore.apply(this, args);
              stores += 1;
              if (stores === stop) {
                // Nothing of this page goes on until there is an answer.
                const request = new XMLHttpRequest();
                request.open('GET', '/made', false);
                request.send();
              }
              return store;
            };
            await globalThis.app.open(config);
          },
          [step, settings],
        )
        .catch((error) => error);
      await made;
      await kill();
      assert.match(String(await opening), /closed|crashed|disconnected/i);

      const next = await startBrowser(stage, profile);
      const again = await openTab(next.context, stage.site.address, troubles);
      const found = await again.evaluate(async (config) => {
        const { app } = globalThis;
        await app.open(config);
        await app.client.create('client', { name: 'whole' });
        const records = await app.client.query('client');
        const [{ name, version }] = await indexedDB.databases();
        const database = await app.requested(indexedDB.open(name));
        const stores = database.objectStoreNames.length;
        database.close();
        return { names: records.map((record) => record.name), version, stores };
      }, settings);
      assert.deepEqual(found, { names: ['whole'], version: LAYOUT, stores: STORES });
      assert.deepEqual(troubles, []);
      await next.kill();
    });
  }

  test('after the index of an upgrade: the next start makes that one index, and finds what was there', async () => {
    const left = JSON.parse(await readFile(join(RELEASES, '0.1.0', 'browser.json'), 'utf8'));
    assert.equal(left.version, 1);
    const profile = await newProfile(stage);
    const settings = await stage.settings('anna', { schema: SCHEMA_OF_RELEASES });
    const troubles = [];
    /** Opens the client, and gives which indexes that made. The first is never come back from, if `stop`. */
    const open = async ([config, stop]) => {
      const { createIndex } = IDBObjectStore.prototype;
      const made = [];
      IDBObjectStore.prototype.createIndex = function (...args) {
        const index = createIndex.apply(this, args);
        made.push(this.name);
        if (stop) {
          const request = new XMLHttpRequest();
          request.open('GET', '/made', false);
          request.send();
        }
        return index;
      };
      const { conflicts } = await globalThis.app.open(config);
      const found = await conflicts.list({ state: 'open' });
      const [{ version }] = await indexedDB.databases();
      return { made, version, found: found.map(({ id }) => id) };
    };
    const { context, kill } = await startBrowser(stage, profile);
    const page = await openTab(context, stage.site.address, troubles);
    await page.evaluate(restore, left);
    const made = new Promise((resolve) => {
      reached = resolve;
    });
    const opening = page.evaluate(open, [settings, true]).catch((error) => error);
    await made;
    await kill();
    assert.match(String(await opening), /closed|crashed|disconnected/i);

    const next = await startBrowser(stage, profile);
    const again = await openTab(next.context, stage.site.address, troubles);
    const whole = await again.evaluate(open, [settings, false]);
    // The indexes that were there stay: on a large database each would take long.
    assert.deepEqual(whole, { made: ['conflicts'], version: LAYOUT, found: left.told.conflicts.map(({ id }) => id) });
    assert.deepEqual(troubles, []);
    await next.kill();
  });
});
