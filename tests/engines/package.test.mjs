/**
 * The packed package against the real server in every engine, on days as users have them. A device is a storage of its
 * own; each visit loads the page anew. What was seen is compared with the table in docs/browsers.md.
 *
 * Chromium alone shows much more (`tests/e2e`); these are the promises that hang on the engine.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { armDeath } from '../e2e/support-death.mjs';
import { onceFaults } from '../e2e/support-server.mjs';
import { openStage, TENANT } from '../e2e/support-stage.mjs';
import { openEar } from '../e2e/support-worker.mjs';
import { compareTable, openTable } from '../table.mjs';
import { ENGINES, startEngine } from './drivers.mjs';

const table = openTable('day');
const OTHER_TENANT = 'hillside';
const NO_BACKGROUND_SYNC = 'kept; no Background Sync, an open page sends';

for (const name of ENGINES) {
  describe(`the package in ${name}`, { timeout: 300_000 }, () => {
    let ear;
    let stage;
    let engine;
    let first;
    let second;
    /** Every operation that was reported saved, for the last test. */
    const operations = [];

    before(async () => {
      ear = openEar();
      stage = await openStage({ answer: ear.answer });
      engine = await startEngine(stage, name);
      first = await engine.device(stage.site.address);
      second = await engine.device((await stage.serveElsewhere()).address);
    });
    afterEach(() => {
      stage.gateway.handler = (exchange) => exchange.pass();
    });
    after(() => stage?.close());

    /** Loads the page on a device and opens a user's client. */
    async function visit(device, user, more) {
      const page = await device.visit();
      const config = await stage.settings(user, more);
      await page.run((settings) => globalThis.app.open(settings).then(() => undefined), config);
      return { ...page, config };
    }

    /** A test whose end is a cell of the table: `kept`, or what it gives. */
    function day(what, lived) {
      test(what, async () => {
        table.set(what, name, '**broken**');
        const seen = (await lived()) ?? 'kept';
        assert.deepEqual(await engine.troubles(), []);
        table.set(what, name, seen);
      });
    }

    test('what breaks in a page is heard', async () => {
      const page = await first.visit();
      await page.run(async () => {
        const event = (type) => new Promise((resolve) => addEventListener(type, resolve, { once: true }));
        const told = [event('error'), event('unhandledrejection')];
        Promise.reject(new Error('planted: rejected'));
        setTimeout(() => {
          throw new Error('planted: thrown');
        });
        await Promise.all(told);
      });
      assert.deepEqual((await engine.troubles()).sort(), ['Error: planted: rejected', 'Error: planted: thrown']);
    });

    day('work of an offline day outlives a reload and goes up in order', async () => {
      const offline = await visit(first, 'anna');
      const made = await offline.run(async () => {
        const { client } = globalThis.app;
        client.setOffline(true);
        const owner = await client.create('client', { name: 'Mill', phone: '1' });
        const pet = await client.create('pet', { name: 'Luna', clientId: owner.record.id });
        const visit = await client.create('appointment', { petId: pet.record.id });
        const note = await client.create('note', { text: 'lame', appointmentId: visit.record.id });
        return [owner, pet, visit, note].map(({ operationId }) => operationId);
      });
      operations.push(...made);
      const later = await visit(first, 'anna');
      const { waiting, result, left, note, visits } = await later.run(async () => {
        const { client } = globalThis.app;
        const waiting = (await client.queue.list()).map(({ operationId }) => operationId);
        const result = await client.engine.sync();
        const [[note], visits] = [await client.query('note'), await client.query('appointment')];
        return { waiting, result, left: await client.queue.list(), note, visits };
      });
      assert.deepEqual(waiting, made);
      assert.deepEqual([result.success, result.synced, left], [true, 4, []]);
      assert.ok(!String(note.appointmentId).startsWith('temp_'), `${note.appointmentId}`);
      assert.deepEqual([note.appointmentId], [visits[0].id]);
      assert.deepEqual(stage.gateway.sent(), made);
    });

    day('a second device gets it; of two changes to a field the later one stands, and the other is kept', async () => {
      // In a tenant of its own: an operation that met a conflict has a receipt and changes nothing.
      const member = async (user) => ({ tenant: OTHER_TENANT, token: await stage.server.token(OTHER_TENANT, user) });
      const update = async (phone) => {
        const { client } = globalThis.app;
        const [owner] = await client.query('client');
        await client.update('client', owner.id, { phone });
        return client.engine.sync();
      };
      const beginning = await visit(first, 'anna', await member('anna'));
      await beginning.run(async () => {
        await globalThis.app.client.create('client', { name: 'Mill', phone: '1' });
        await globalThis.app.client.engine.sync();
      });
      const there = await visit(second, 'bert', await member('bert'));
      await there.run(() => globalThis.app.client.engine.sync());
      const earlier = await there.run(update, '2');
      const here = await visit(first, 'anna', await member('anna'));
      const later = await here.run(update, '3');
      assert.deepEqual([earlier.conflicts, later.success, later.conflicts], [0, true, 1]);
      const sides = await here.run(async () =>
        (await globalThis.app.client.conflicts.list()).map(({ localData, serverData }) => [
          localData.phone,
          serverData.phone,
        ]),
      );
      assert.deepEqual(sides, [['3', '2']]);
      const again = await visit(second, 'bert', await member('bert'));
      const phones = await again.run(async () => {
        await globalThis.app.client.engine.sync();
        return (await globalThis.app.client.query('client')).map(({ phone }) => phone);
      });
      assert.deepEqual(phones, ['3']);
    });

    day('two tabs share one queue: each sees what the other saves, and each operation goes once', async () => {
      // A tab that is silent for long keeps its turn to send.
      const one = await visit(first, 'tabs', { silenceMs: 600_000 });
      const other = await first.tab();
      await other.run((settings) => globalThis.app.open(settings).then(() => undefined), one.config);
      const save = (page, label) =>
        page.run(async (text) => (await globalThis.app.client.create('client', { name: text })).operationId, label);
      await other.run(() => {
        globalThis.heard = new Promise((resolve) => globalThis.app.client.on('change', resolve));
      });
      const made = [await save(one, 'tab 1')];
      await other.run(() => globalThis.app.limited(globalThis.heard, 'the change in the other tab'));
      made.push(await save(other, 'tab 2'));
      operations.push(...made);
      for (const page of [one, other]) {
        const seen = await page.run(async () => {
          const found = await globalThis.app.client.query('client', { orderBy: 'name' });
          return found.map(({ name: label }) => label).filter((label) => label.startsWith('tab'));
        });
        assert.deepEqual(seen, ['tab 1', 'tab 2']);
      }

      // While what the one tab sends is on its way, the other asks for a session too, and waits for its turn.
      const from = stage.gateway.uploads().length;
      const reached = stage.gateway.holdUpload();
      const sync = () => {
        globalThis.syncing = globalThis.app.client.engine.sync();
      };
      await one.run(sync);
      const release = await reached;
      await other.run(sync);
      await other.run(async () => {
        // No event tells of it.
        const queued = async () => {
          while ((await navigator.locks.query()).pending.length === 0)
            await new Promise((next) => setTimeout(next, 10));
        };
        await globalThis.app.limited(queued(), 'a tab that waits for its turn');
      });
      release();
      const ended = () => globalThis.app.limited(globalThis.syncing, 'the end of a session');
      for (const page of [one, other]) assert.equal((await page.run(ended)).success, true);
      assert.deepEqual(stage.gateway.sent(from), made);
    });

    for (const [where, way] of [
      ['in a call', 'now'],
      ['in the middle of a save', 'betweenTwoWrites'],
    ]) {
      day(`the engine breaks down ${where}: it is said, and the page goes on without a reload`, async () => {
        const page = await visit(first, 'death');
        await page.run(armDeath);
        const { made, code, refused, left, synced } = await page.run(
          async ([how, label]) => {
            const { client, refusal } = globalThis.app;
            const before = await client.create('client', { name: `${label} before` });
            const code = globalThis.kill[how](client);
            const refused = await refusal(() =>
              code ? client.engine.status() : client.create('client', { name: label }),
            );
            const after = await client.create('client', { name: `${label} after` });
            const left = (await client.queue.list()).map(({ operationId }) => operationId);
            const { success } = await client.engine.sync();
            return { made: [before.operationId, after.operationId], code, refused, left, synced: success };
          },
          [way, where],
        );
        operations.push(...made);
        // In a callback of the browser's, what it died of is an uncaught error of the page as well.
        assert.deepEqual(await engine.troubles(), way === 'now' ? [] : ['RangeError: out of memory']);
        assert.deepEqual([code ?? refused.code, refused.code], ['instance_dead', 'instance_dead']);
        assert.deepEqual([left, synced], [made, true]);
      });
    }

    day('what was written without a network goes up when it is back', async () => {
      const page = await visit(first, 'back', { autoSync: true });
      await page.run((settings) => globalThis.app.register('/service-worker.mjs', [settings]), page.config);
      const background = await page.run(() => 'SyncManager' in globalThis);
      // No timer ends any more: what sends now was woken by an event.
      await page.run(() => void globalThis.app.holdTimers(0));
      stage.gateway.handler = (exchange) => exchange.cut();
      const workerEnded = background ? ear.ended() : undefined;
      const made = await page.run(async () => {
        const { client, when, limited } = globalThis.app;
        const { operationId } = await client.create('client', { name: 'without a network' });
        await limited(
          when((status) => status.state === 'error' && status.pending === 1),
          'an error',
        );
        return operationId;
      });
      operations.push(made);
      // The browser took the network to be there, and had the worker try. That waits for minutes now.
      if (background) assert.match(await workerEnded, /^rejected/);
      stage.gateway.handler = (exchange) => exchange.pass();
      await page.run(async () => {
        const { settled, limited } = globalThis.app;
        dispatchEvent(new Event('online'));
        await limited(settled(), 'nothing that waits');
        const registration = await navigator.serviceWorker.getRegistration();
        await registration.unregister();
      });
      return background ? undefined : NO_BACKGROUND_SYNC;
    });

    day('a write for which the browser says there is no room (planted) is named, and the next finds it', async () => {
      const page = await visit(first, 'full');
      const { code, made } = await page.run(async () => {
        const { client, refusal } = globalThis.app;
        const { put } = IDBObjectStore.prototype;
        IDBObjectStore.prototype.put = () => {
          throw new DOMException('no room', 'QuotaExceededError');
        };
        const { code } = await refusal(() => client.create('client', { name: 'no room' }));
        IDBObjectStore.prototype.put = put;
        const { operationId } = await client.create('client', { name: 'room' });
        await client.engine.sync();
        return { code, made: operationId };
      });
      operations.push(made);
      assert.equal(code, 'storage_full');
    });

    day('a newer app opens a later layout: it does not wait, and this page is told to reload', async () => {
      const page = await first.visit();
      const config = await stage.settings('newer');
      const { told, code } = await page.run(async (settings) => {
        const { app } = globalThis;
        const own = await app.openNew(settings);
        const outdated = new Promise((resolve) => app.client.on('outdated', resolve));
        const later = await app.requested(indexedDB.open(own, 99));
        const { code } = await app.refusal(() => app.client.create('client', { name: 'too old' }));
        later.close();
        return { told: await app.limited(outdated, 'the word'), code };
      }, config);
      assert.deepEqual([told, code], [{ type: 'outdated' }, 'outdated']);
    });

    day('another tab keeps the database from opening: that is said, and it opens once that tab lets go', async () => {
      const page = await first.visit();
      const config = await stage.settings('kept');
      const { early, fired, refused, found } = await page.run(async (settings) => {
        const { app } = globalThis;
        const { requested, limited } = app;
        const connections = app.watchConnections();
        // The client's patience ends when it is told to, and not before.
        const patience = app.holdTimers(10_000);
        const own = await app.openNew(settings);
        await app.client.close();
        const keeping = await requested(indexedDB.open(own));
        await new Promise((resolve) => {
          indexedDB.deleteDatabase(own).onblocked = resolve;
        });
        const opening = app.refusal(() => app.open(settings));
        await limited(patience.set(), 'a limit for opening');
        const other = requested(indexedDB.open('another')).then((database) => database.close());
        const early = await Promise.race([opening, other]);
        const fired = patience.fire();
        const refused = await limited(opening, 'a refusal');
        keeping.close();
        await limited(app.open(settings), 'opening');
        const { record: opened } = await app.client.create('client', { name: 'opened' });
        const found = (await app.client.query('client')).map((record) => record.name);
        // A save is answered when its transaction is over; a read before, and that may outlast a close.
        await app.client.update('client', opened.id, { phone: '1' });
        await app.client.close();
        // What was opened too late was closed too, and nothing is in the way of a deletion.
        await limited(connections.allClosed(), 'the end of every connection');
        for (const name of [own, 'another']) await limited(requested(indexedDB.deleteDatabase(name)), 'a deletion');
        return { early: early ?? null, fired, refused, found };
      }, config);
      assert.deepEqual([early, fired], [null, [15_000]]);
      assert.deepEqual([refused.code, refused.retryable, found], ['storage_blocked', true, ['opened']]);
    });

    day('a database that is gone at the next visit is told of, once', async () => {
      const config = await stage.settings('lost');
      /** A visit, and what it was told is lost. */
      const lost = async (lived) => {
        const page = await first.visit();
        const name = await page.run((settings) => globalThis.app.openNew(settings), config);
        const unsent = await page.run(() => globalThis.app.client.storageLoss?.unsent ?? null);
        await page.run(lived, name);
        return unsent;
      };
      const close = () => globalThis.app.client.close();
      const losses = [
        await lost(async (name) => {
          const { client, requested } = globalThis.app;
          await client.create('client', { name: 'not sent' });
          await client.close();
          await requested(indexedDB.deleteDatabase(name));
        }),
        await lost(close),
        await lost(close),
      ];
      assert.deepEqual(losses, [null, 1, null]);
    });

    day('in a private window work is saved and sent as anywhere', async () => {
      const device = await engine.inPrivateWindow(stage.site.address);
      const before = await visit(device, 'private');
      operations.push(
        await before.run(async () => {
          const { operationId } = await globalThis.app.client.create('client', { name: 'private' });
          return operationId;
        }),
      );
      const later = await visit(device, 'private');
      const { waiting, success } = await later.run(async () => {
        const { client } = globalThis.app;
        const waiting = (await client.queue.list()).length;
        return { waiting, success: (await client.engine.sync()).success };
      });
      assert.deepEqual([waiting, success], [1, true]);
    });

    day('asking to keep the storage holds nobody up', async () => {
      const page = await visit(first, 'anna');
      const { known, answer } = await page.run(async () => ({
        known: typeof navigator.storage?.persist === 'function',
        answer: await globalThis.app.fieldsync.persistStorage(),
      }));
      if (!known) assert.equal(answer, null);
      const said = known ? { true: 'granted', false: 'refused', null: 'no answer' }[answer] : 'nobody to ask';
      assert.ok(said, `${answer}`);
      return `kept; ${said}`;
    });

    day('the browser is killed: what was reported saved is there, and goes once', async () => {
      const device = await engine.device(stage.site.address);
      if (!device.kill) return 'not shown: its driver keeps nothing on a disk';
      const before = await visit(device, 'killed');
      const made = await before.run(async () => {
        const saves = ['kill 1', 'kill 2'].map((label) => globalThis.app.client.create('client', { name: label }));
        return (await Promise.all(saves)).map(({ operationId }) => operationId);
      });
      operations.push(...made);
      await device.kill();
      const later = await visit(device, 'killed');
      const { waiting, success } = await later.run(async () => {
        const { client } = globalThis.app;
        const waiting = (await client.queue.list()).map(({ operationId }) => operationId);
        return { waiting, success: (await client.engine.sync()).success };
      });
      assert.deepEqual([waiting, success], [made, true]);
    });

    day('in the end the server has each operation once', async () => {
      const database = await stage.server.content(TENANT);
      assert.deepEqual(onceFaults(database, operations), []);
    });
  });
}

test('docs/browsers.md tells of every day in every engine', () =>
  compareTable('docs/browsers.md', 'package', table.text()));
