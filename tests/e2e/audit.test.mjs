/**
 * What an inspector does with the audit trail of a device, in a real browser: asks it, proves it, takes it along as a file
 * that the code of docs/audit.md proves without this package, and has it handed to another system.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { openStage, ready } from './support-stage.mjs';

/** The function of docs/audit.md that proves a file, as it stands there. */
async function verifier() {
  const page = await readFile(new URL('../../docs/audit.md', import.meta.url), 'utf8');
  const [, code] = page.match(/```js\n(import \{ createHash \}.*?)```/s);
  return (await import(`data:text/javascript,${encodeURIComponent(code)}`)).verify;
}

describe('the audit trail', { timeout: 120_000 }, () => {
  let stage;
  let desk;
  let page;
  let database;

  before(async () => {
    stage = await openStage();
    desk = await stage.device();
    page = await desk.tab('anna', { audit: { requireReason: ['discard'] } });
    database = await page.evaluate(async () =>
      (await indexedDB.databases()).map(({ name }) => name).find((name) => name.startsWith('fieldsync/1/')),
    );
  });
  after(() => stage?.close());

  const ask = (filter) => page.evaluate((wanted) => globalThis.app.client.audit.query(wanted), filter);
  const verify = (options) => page.evaluate((how) => globalThis.app.client.audit.verify(how), options);
  const written = (format, filter) =>
    page.evaluate(
      async ([kind, wanted]) => {
        const pieces = [];
        for await (const text of globalThis.app.client.audit.export(kind, wanted)) pieces.push(text);
        return pieces.join('');
      },
      [format, filter],
    );

  /** Writes a row of the trail as somebody would who has the device, and gives what stood there. */
  const tamper = (number, content) =>
    page.evaluate(
      async ([name, key, text]) => {
        const { requested } = globalThis.app;
        const opened = await requested(indexedDB.open(name));
        const store = opened.transaction('audit', 'readwrite').objectStore('audit');
        const row = await requested(store.get(key));
        const before = JSON.stringify(row.v);
        await requested(text === null ? store.delete(key) : store.put({ ...row, v: JSON.parse(text) }));
        opened.close();
        return before;
      },
      [database, number, content],
    );

  test('it tells what became of a record, by any of its ids, and why something was given up', async () => {
    const told = await page.evaluate(async () => {
      const { client, refusal } = globalThis.app;
      const { record } = await client.create('client', { name: 'Ada' });
      const pet = await client.create('pet', { name: 'Rex', clientId: record.id });
      await client.engine.sync();
      const now = await client.get('client', record.id);
      const extra = await client.create('client', { name: '=1+1' });
      const refused = await refusal(() => client.queue.discard(extra.operationId));
      await client.queue.discard(extra.operationId, { reason: '-double entry' });
      return { temp: record.id, real: now.id, pet: pet.operationId, extra: extra.operationId, refused };
    });
    assert.deepEqual([told.refused.code, told.refused.path], ['reason_required', 'reason']);
    const byTemp = await ask({ entity: 'client', record: told.temp });
    assert.deepEqual(
      byTemp.map(({ entries }) => entries.map(({ event }) => event)),
      [['written'], ['applied', 'applied']],
    );
    assert.deepEqual(await ask({ entity: 'client', record: told.real }), byTemp);
    assert.equal((await ask({ operation: told.pet })).length, 2);
    const [given] = await ask({ operation: told.extra, order: 'desc', limit: 1 });
    assert.deepEqual([given.reason, given.entries[0].event], ['-double entry', 'discarded']);
    assert.deepEqual(
      (await ask({ after: given.previous })).map(({ number }) => number),
      [given.number],
    );
  });

  test('it is in order, and the file that leaves proves the same without this package', async () => {
    const result = await page.evaluate(async () => {
      const seen = [];
      const found = await globalThis.app.client.audit.verify({ onProgress: (at) => seen.push(at) });
      return { ...found, seen };
    });
    const { seen, ...found } = result;
    assert.deepEqual([found.ok, found.firstBad, seen.at(-1).last], [true, undefined, found.through]);
    const file = await written('ndjson');
    const check = await verifier();
    assert.equal(check(file), found.head);
    const rows = file.trimEnd().split('\n');
    assert.equal(rows.length, found.rows);
    const line = rows.findIndex((text) => text.includes('-double entry'));
    assert.throws(() => check(file.replace('-double entry', '-another word')), /is not in order/);
    assert.throws(() => check(rows.toSpliced(line - 1, 1).join('\n')), /is not in order/);
    const table = (await written('csv', { event: 'discarded' })).split('\r\n');
    assert.equal(table.length, 3);
    assert.match(table[1], /,'-double entry,[0-9a-f-]{36},client,/);
  });

  test('a row that was changed or taken away in the database is named', async () => {
    const found = await ask({});
    const [row] = await ask({ event: 'applied' });
    const before = await tamper(row.number, null);
    const bad = async () => (await verify()).firstBad;
    assert.deepEqual(await bad(), { number: row.number, reason: 'missing' });
    const { breaches } = await page.evaluate(() => globalThis.app.client.audit.complianceReport());
    assert.deepEqual(breaches, ['chain', 'terminal'], 'two operations left the queue, and nothing says how');
    await page.evaluate(
      async ([name, key, text]) => {
        const { requested } = globalThis.app;
        const opened = await requested(indexedDB.open(name));
        const put = { k: key, v: JSON.parse(text), ix: [] };
        await requested(opened.transaction('audit', 'readwrite').objectStore('audit').put(put));
        opened.close();
      },
      [database, row.number, before],
    );
    assert.equal(await bad(), undefined);
    await tamper(row.number, before.replace('"applied"', '"settled"'));
    assert.deepEqual(await bad(), { number: row.number, reason: 'changed' });
    // No row any more, as what a database brings back damaged.
    await tamper(row.number, '"gone"');
    assert.deepEqual(await bad(), { number: row.number, reason: 'unreadable' });
    const holes = (await ask({})).filter(({ unreadable }) => unreadable);
    const hash = createHash('sha256').update('"gone"').digest('hex');
    assert.deepEqual(holes, [{ number: row.number, unreadable: true, device: row.device, entries: [], hash }]);
    for (const format of ['ndjson', 'csv']) {
      const lines = (await written(format)).split('\n').filter((line) => line.includes('unreadable'));
      assert.deepEqual([lines.length, lines[0].includes(hash)], [1, true], format);
    }
    const handed = await page.evaluate(async (last) => {
      const got = [];
      await new Promise((resolve) => {
        const stop = globalThis.app.client.audit.subscribe('holes', (rows) => {
          got.push(...rows.map(({ number, unreadable }) => [number, unreadable === true]));
          if (got.at(-1)[0] >= last) resolve(stop());
        });
      });
      return got;
    }, found.at(-1).number);
    assert.deepEqual(
      handed,
      found.map(({ number }) => [number, number === row.number]),
    );
    await tamper(row.number, before);
    const report = await page.evaluate(() => globalThis.app.client.audit.complianceReport());
    assert.deepEqual([report.breaches, report.chain.ok, report.terminal.missing], [[], true, []]);
    assert.equal(report.terminal.audited, 3);
    assert.equal(report.lastVerified.number, report.chain.through);
  });

  test('another system gets every row in order, also after it failed and after a reload', async () => {
    const first = await page.evaluate(async () => {
      const { client } = globalThis.app;
      const errors = [];
      const rows = await new Promise((resolve) => {
        client.audit.subscribe(
          'archive',
          async (got) => {
            if (errors.length === 0) throw new Error('not now');
            resolve(got);
          },
          { onError: ({ message }) => errors.push(message) },
        );
      });
      return { errors, numbers: rows.map(({ number }) => number) };
    });
    const all = await ask({});
    assert.deepEqual(first, { errors: ['not now'], numbers: all.map(({ number }) => number) });
    await page.waitForFunction(
      async ([name, through]) => {
        const opened = await globalThis.app.requested(indexedDB.open(name));
        const stored = await globalThis.app.requested(
          opened.transaction('state').objectStore('state').get('sink/archive'),
        );
        opened.close();
        return stored?.v === through;
      },
      [database, all.at(-1).number],
    );
    await page.reload();
    await ready(page);
    await page.evaluate(async (settings) => void (await globalThis.app.open(settings)), await stage.settings('anna'));
    const second = await page.evaluate(async () => {
      const { client } = globalThis.app;
      const got = [];
      const stop = client.audit.subscribe('archive', (rows) => void got.push(...rows));
      for (const name of ['Ben', 'Carl']) await client.create('client', { name });
      await new Promise((resolve) => {
        const look = () => (got.length >= 2 ? resolve() : setTimeout(look, 10));
        look();
      });
      stop();
      await client.create('client', { name: 'Dora' });
      await new Promise((resolve) => setTimeout(resolve, 200));
      return got.map(({ number, entries }) => [number, entries[0].event]);
    });
    const last = all.at(-1).number;
    assert.deepEqual(second, [
      [last + 1, 'written'],
      [last + 2, 'written'],
    ]);
    assert.deepEqual(desk.troubles, []);
  });

  test('two tabs that deliver to one name leave nothing out, each in order', async () => {
    const tabs = [page, await desk.tab('anna')];
    for (const tab of tabs) {
      await tab.evaluate(() => {
        globalThis.got = [];
        const { audit } = globalThis.app.client;
        audit.subscribe('both', (rows) => void globalThis.got.push(...rows.map(({ number }) => number)));
      });
    }
    await page.evaluate(async () => {
      for (const name of ['Eve', 'Finn', 'Gro']) await globalThis.app.client.create('client', { name });
    });
    const all = (await ask({})).map(({ number }) => number);
    let union = new Set();
    for (const until = Date.now() + 10_000; union.size < all.length && Date.now() < until; ) {
      const got = await Promise.all(tabs.map((tab) => tab.evaluate(() => globalThis.got)));
      for (const numbers of got)
        assert.deepEqual(
          numbers,
          [...new Set(numbers)].toSorted((a, b) => a - b),
        );
      union = new Set(got.flat());
    }
    assert.deepEqual(
      [...union].toSorted((a, b) => a - b),
      all,
    );
    await tabs[1].close();
    assert.deepEqual(desk.troubles, []);
  });

  test('after a wipe the trail says why, and is proved from there on', async () => {
    await page.evaluate(() => globalThis.app.client.wipe({ force: true, reason: 'the tablet is handed back' }));
    await page.evaluate(async (settings) => void (await globalThis.app.open(settings)), await stage.settings('anna'));
    const [kept, ...others] = await ask({});
    assert.deepEqual([kept.reason, others], ['the tablet is handed back', []]);
    assert.deepEqual(
      kept.entries.map(({ event }) => event),
      Array.from({ length: 6 }, () => 'discarded'),
    );
    const { ok, rows, head } = await verify();
    assert.deepEqual([ok, rows, head], [true, 1, kept.hash]);
    assert.equal((await verifier())(await written('ndjson')), head);
  });
});
