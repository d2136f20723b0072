/**
 * Rows that are not what was written, through the package: a page changes stored rows by IndexedDB itself, a check names
 * each, a repair brings back what the server has, and what is unsent goes up in the end.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openStage } from './support-stage.mjs';

describe('rows that are not what was written', { timeout: 120_000 }, () => {
  let stage;
  let here;
  let there;
  const troubles = [];

  before(async () => {
    stage = await openStage();
    [here, there] = await stage.tabs(troubles, 'anna', 'ben');
  });
  after(() => stage?.close());

  const sync = (tab) => tab.evaluate(async () => (await globalThis.app.client.engine.sync()).success);
  const check = () =>
    here.evaluate(async () => {
      const phases = new Set();
      const onProgress = ({ phase }) => phases.add(phase);
      const check = await globalThis.app.client.integrity.checkIntegrity({ onProgress });
      return { ...check, phases: [...phases] };
    });
  const briefs = (faults) => faults.map(({ table, code, action }) => [table, code, action].filter(Boolean).join(' '));
  /** Changes the rows of a table as nobody but this test does. `how` is the body of a function of a stored row. */
  const tamper = (table, how) =>
    here.evaluate(
      async ([name, body]) => {
        const change = new Function('row', body);
        const [{ name: database }] = (await indexedDB.databases()).filter(({ name }) =>
          name.startsWith('fieldsync/1/'),
        );
        const done = (request) =>
          new Promise((resolve, reject) => {
            request.onsuccess = () => resolve(request.result);
            request.onerror = () => reject(request.error);
          });
        const opened = await done(indexedDB.open(database));
        const store = opened.transaction(name, 'readwrite').objectStore(name);
        let changed = 0;
        for (const row of await done(store.getAll())) {
          const other = change(row);
          if (other === undefined) continue;
          changed += 1;
          await done(other === null ? store.delete(row.k) : store.put(other));
        }
        opened.close();
        return changed;
      },
      [table, how],
    );

  test('a store that nobody touched is in order, whatever it holds', async () => {
    await there.evaluate(async () => {
      const { client } = globalThis.app;
      const strange = { ...JSON.parse('{"__proto__": {"x": 1}}'), 2: 'b', 1: 'a', big: 1e30, low: 5e-324, minus: -0 };
      await client.create('client', { name: 'Ada', ...strange, '\u{1f600}': '\u2028', é: [1.5, null, true, {}] });
      for (let at = 0; at < 300; at += 1) await client.create('client', { name: `client ${at}`, at });
    });
    assert.ok((await sync(there)) && (await sync(here)));
    await here.evaluate(async () => {
      const { client } = globalThis.app;
      const [ada] = await client.query('client', { where: { name: 'Ada' } });
      await client.update('client', ada.id, { name: 'Ada B.' });
      await client.create('pet', { name: 'Rex', clientId: ada.id });
    });
    const { ok, faults, found, truncated, checked, phases } = await check();
    assert.deepEqual([ok, faults, found, truncated], [true, [], 0, false]);
    assert.deepEqual([checked.base, checked.overlay, checked.outbox, checked.unhashed], [301, 2, 2, 0]);
    assert.deepEqual([phases.length, phases[0], phases.at(-1)], [11, 'base', 'references']);
    const report = await here.evaluate(() => globalThis.app.client.audit.complianceReport());
    assert.deepEqual([report.lastCheck.faults, report.breaches], [0, []]);
  });

  test('what was changed in any table is named, and nothing of what it holds is told', async () => {
    assert.equal(await tamper('base', "if (row.v.data.name === 'client 7') { row.v.data.at = 8; return row; }"), 1);
    assert.equal(await tamper('base', "if (row.v.data.name === 'client 8') { delete row.v; return row; }"), 1);
    assert.equal(await tamper('base', "if (row.v?.data.name === 'client 9') { delete row.ix; return row; }"), 1);
    assert.equal(await tamper('overlay', "if (row.k[0] === 'pet') { row.v.view.name = 'secret'; return row; }"), 1);
    assert.equal(await tamper('sessions', 'row.v.id = 0; return row;'), 1);
    assert.equal(await tamper('audit', "if (row.k === 1) { row.v.user = 'eve'; return row; }"), 1);
    const { ok, faults } = await check();
    const found = ['base hash', 'base index', 'base unreadable', 'overlay hash', 'audit chain', 'sessions hash'];
    assert.deepEqual([ok, briefs(faults).sort()], [false, found.sort()]);
    const changed = faults.find(({ table, code }) => table === 'base' && code === 'hash');
    assert.deepEqual([changed.entity, changed.key.slice(0, 2)], ['client', [0, 'client']]);
    assert.ok(!JSON.stringify(faults).includes('secret'));
    await here.evaluate(async () => {
      const stop = new AbortController();
      const { checkIntegrity } = globalThis.app.client.integrity;
      const stopped = checkIntegrity.call(globalThis.app.client.integrity, {
        onProgress: () => stop.abort(),
        signal: stop.signal,
      });
      await stopped.then(
        () => Promise.reject(new Error('it was not stopped')),
        ({ code }) => {
          if (code !== 'aborted') throw new Error(code);
        },
      );
    });
  });

  test('a repair mends them, tells it in the trail, and the unsent work goes up', async () => {
    const dry = await here.evaluate(() => globalThis.app.client.integrity.repair({ dryRun: true }));
    const done = await here.evaluate(() => globalThis.app.client.integrity.repair());
    assert.deepEqual([done.mended, done.left, done.resync], [dry.mended, dry.left, true]);
    const mended = ['base hash dropped', 'base index indexed', 'base unreadable dropped', 'overlay hash rebuilt'];
    assert.deepEqual(briefs(done.mended).sort(), [...mended, 'sessions hash dropped'].sort());
    assert.deepEqual(briefs(done.left), ['audit chain']);
    const told = await here.evaluate(() => globalThis.app.client.audit.query({ event: 'repaired' }));
    assert.equal(told.flatMap(({ entries }) => entries).length, done.mended.length);

    assert.ok((await sync(here)) && (await sync(there)));
    const all = await here.evaluate(async () => (await globalThis.app.client.query('client')).length);
    const pets = await there.evaluate(async () => (await globalThis.app.client.query('pet')).map(({ name }) => name));
    assert.deepEqual([all, pets], [301, ['Rex']]);
    assert.deepEqual(briefs((await check()).faults), ['audit chain'], 'the trail is only ever added to');
    assert.deepEqual(troubles, [[], []]);
  });
});
