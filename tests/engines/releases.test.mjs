/**
 * What an earlier release left in a browser and on a server, opened by the present one in every engine: the app is
 * updated in the middle of an offline day.
 *
 * `releases/VERSION` keeps the two databases of each version, as they lay on the disk, and what the package told of the
 * one in the browser. `FIELDSYNC_KEEP_RELEASE=1 cargo xtask browser tests/engines/releases.test.mjs` lives the day with
 * the package as it is and writes the folder of its version. A folder is written anew until its version is published, and
 * never after that.
 */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { onceFaults } from '../e2e/support-server.mjs';
import { openStage, TENANT } from '../e2e/support-stage.mjs';
import { compareTable, openTable } from '../table.mjs';
import { ENGINES, startEngine } from './drivers.mjs';
import { dump, keep, open, RELEASES, restore, SCHEMA, told } from './support-release.mjs';

const PACKAGE = new URL('../../pkg/package.json', import.meta.url);
const table = openTable('left by');
const { version: present } = JSON.parse(await readFile(PACKAGE, 'utf8'));
if (process.env.FIELDSYNC_KEEP_RELEASE === '1') await keep(present);
const kept = await readdir(RELEASES);
const pick = (value, names) => Object.fromEntries(names.map((name) => [name, value[name]]));

test('the present version has left something too', () => assert.ok(kept.includes(present), `${present} is not kept`));

for (const version of kept) {
  for (const name of ENGINES) {
    describe(`what ${version} left, in ${name}`, { timeout: 120_000 }, () => {
      let left;
      let stage;
      let engine;
      let page;
      before(async () => {
        left = JSON.parse(await readFile(join(RELEASES, version, 'browser.json'), 'utf8'));
        stage = await openStage({ schema: SCHEMA, database: join(RELEASES, version, 'server.sqlite') });
        engine = await startEngine(stage, name);
        page = await (await engine.device(stage.site.address)).visit();
        table.set(version, name, '**broken**');
      });
      after(() => stage?.close());

      test('all of it is told as it was', async () => {
        await page.run(restore, left);
        await open(page, await stage.settings());
        const now = await page.run(told);
        // What is told of a conflict has grown since; what was told is told as it was.
        const asThen = (conflict, at) => pick(conflict, Object.keys(left.told.conflicts[at] ?? {}));
        // Texts for people may be put better; a code never becomes another.
        const worded = ({ reason: { message, ...reason }, ...item }) => ({
          ...item,
          reason: { ...reason, told: message !== '' },
        });
        const seen = (what) => ({ ...what, queue: what.queue.map(worded) });
        assert.deepEqual(seen({ ...now, conflicts: now.conflicts.map(asThen) }), seen(left.told));
      });

      test('no row is gone from the browser', async () => {
        const { stores } = await page.run(dump);
        for (const { name: store, rows } of left.stores) {
          const keys = new Set(stores.find((found) => found.name === store).rows.map(({ k }) => JSON.stringify(k)));
          for (const { k } of rows) assert.ok(keys.has(JSON.stringify(k)), `${store} ${JSON.stringify(k)}`);
        }
      });

      test('its conflicts are found by what they are about, and tell their steps', async () => {
        const { found, elsewhere, counts } = await page.run(async () => {
          const { conflicts } = globalThis.app.client;
          const found = await conflicts.list({ entity: 'pet', record: 1, state: 'open', kind: 'update-update' });
          const elsewhere = await conflicts.list({ entity: 'client' });
          return { found, elsewhere, counts: await conflicts.statistics() };
        });
        const [{ id, detectedAt }] = left.told.conflicts;
        assert.deepEqual([found.map((conflict) => conflict.id), elsewhere], [[id], []]);
        assert.deepEqual(
          found[0].steps.map(({ step, at }) => [step, at]),
          [['found', detectedAt]],
        );
        assert.deepEqual([counts.total, counts.open, counts.oldestOpen], [1, 1, detectedAt]);
      });

      test('its rows are in order, and get the hashes that they may lack', async () => {
        const { before, done, later } = await page.run(async () => {
          const { integrity } = globalThis.app.client;
          const before = await integrity.checkIntegrity();
          const done = await integrity.repair();
          return { before, done, later: await integrity.checkIntegrity() };
        });
        const summed = left.stores.some(({ rows }) => rows.some(({ v }) => v?.sum !== undefined));
        // A pet of a client that was never there: the server did not take it.
        const codes = (faults) => faults.map(({ table, code }) => `${table} ${code}`);
        const known = ['overlay reference'];
        assert.deepEqual(
          [before, later].map(({ faults }) => codes(faults)),
          [known, known],
        );
        assert.deepEqual([done.mended, codes(done.left)], [[], known]);
        assert.equal(before.checked.unhashed > 0, !summed);
        assert.equal(later.checked.unhashed, 0);
      });

      test('the day goes on: work goes up once, what waits for a person is settled, others see it', async () => {
        const before = await page.run(async () => {
          const { client } = globalThis.app;
          const { operationId } = await client.create('client', { name: 'after the update' });
          const [conflict] = await client.conflicts.list();
          const parked = (await client.queue.list()).find(({ state }) => state === 'parked');
          await client.engine.resolveConflict(conflict.id, 'client-wins', { reason: 'the vet said so' });
          await client.queue.discard(parked);
          const waiting = (await client.queue.list()).map((item) => item.operationId);
          const { success } = await client.engine.sync();
          const trail = await client.audit.verify();
          const [{ reason }] = await client.audit.query({ operation: conflict.operation.id, event: 'superseded' });
          return { operationId, waiting, success, queue: await client.queue.list(), trail, reason };
        });
        assert.deepEqual([before.success, before.queue], [true, []]);
        // Rows of both releases, in one chain.
        assert.deepEqual([before.trail.ok, before.trail.firstBad, before.reason], [true, undefined, 'the vet said so']);
        assert.ok(before.trail.rows > left.stores.find(({ name }) => name === 'audit').rows.length);
        assert.ok(before.waiting.includes(before.operationId));
        const mine = (await page.run(told)).records;
        const other = await (await engine.device((await stage.serveElsewhere()).address)).visit();
        await open(other, await stage.settings('bert'));
        await other.run(() => globalThis.app.client.engine.sync());
        const theirs = (await other.run(told)).records;
        const plain = (records) => records.map(({ _sync, ...record }) => record).sort((a, b) => a.id - b.id);
        for (const entity of Object.keys(SCHEMA.entities)) assert.deepEqual(plain(mine[entity]), plain(theirs[entity]));
        assert.deepEqual([mine.pet.length, mine.pet.find((pet) => pet.name === 'Rex').dose], [2, 3]);
        const database = await stage.server.content(TENANT);
        const earlier = new Set(left.sent);
        const since = ({ operation }) => !earlier.has(operation);
        const news = {
          ...database,
          changes: database.changes.filter(since),
          receipts: database.receipts.filter(since),
        };
        assert.deepEqual(onceFaults(news, before.waiting), []);
        assert.deepEqual(await engine.troubles(), []);
        table.set(version, name, 'kept');
      });
    });
  }
}

test('docs/browsers.md tells of what every release left in every engine', () =>
  compareTable('docs/browsers.md', 'releases', table.text()));
