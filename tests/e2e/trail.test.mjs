/**
 * The audit trail of a device in the chain of the real server: every row goes up behind the work that it tells of, and whoever
 * writes the trail in the browser's storage anew, with every link in it right, is found by what the server has.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { required } from '../environment.mjs';
import { openStage, sync, TENANT } from './support-stage.mjs';

/** Canonical JSON of what a row of the trail can hold. */
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.keys(value).sort();
  return `{${members.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join()}}`;
}

/** The same trail as of another user. */
function forged(rows) {
  let head = '0'.repeat(64);
  return rows.map(({ hash: _, ...row }) => {
    const content = { ...row, user: 'eve' };
    head = createHash('sha256')
      .update(`\u0001${head}${canonical(content)}`)
      .digest('hex');
    return { ...content, hash: head };
  });
}

describe('the trail of a device at the server', { timeout: 120_000 }, () => {
  let stage;
  let desk;
  let page;

  before(async () => {
    stage = await openStage();
    desk = await stage.device();
    page = await desk.tab('anna');
    await page.evaluate(() => {
      globalThis.app.refused = [];
      globalThis.app.client.on('audit', (told) => globalThis.app.refused.push(told));
    });
  });
  after(() => stage?.close());

  /** What the server's own tool says of the tenant's chain. */
  const inspect = async (verb) => {
    const of = ['audit', verb, '--database', stage.server.database, '--tenant', TENANT];
    return (await promisify(execFile)(required('FIELDSYNC_SERVER_BIN'), of)).stdout.trim();
  };
  const chain = async () => (await inspect('export')).split('\n').map((line) => JSON.parse(line).content);
  const verify = () => page.evaluate(() => globalThis.app.client.audit.verify({ server: true }));
  const create = (name) => page.evaluate((given) => globalThis.app.client.create('client', { name: given }), name);

  test('every row stands in the chain of the tenant, once, and the device can hold its own against it', async () => {
    await create('Ada');
    await create('Ben');
    await sync(page, page);
    await create('Cleo');
    await sync(page);
    const taken = (await chain()).flatMap(({ client, user, trail }) =>
      trail ? trail.rows.map((row) => ({ ...row, by: [client, user] })) : [],
    );
    const own = await page.evaluate(() => globalThis.app.client.audit.query());
    assert.ok(own.length >= 4);
    assert.deepEqual(
      taken,
      own.map(({ number, at: _, device, ...row }) => ({ ...row, seq: number, by: [device, 'anna'] })),
    );
    const { ok, head, through, server } = await verify();
    assert.deepEqual({ ok, ...server }, { ok: true, head, through, auditHead: server.auditHead });
    assert.match(await inspect('verify'), new RegExp(`rows in order, head ${server.auditHead}`));
    const { uploaded } = await page.evaluate(() => globalThis.app.client.audit.complianceReport());
    assert.equal(uploaded.number, through);
  });

  test('a trail that was written anew in the storage is found, and work goes on', async () => {
    const database = await page.evaluate(async () =>
      (await indexedDB.databases()).map(({ name }) => name).find((name) => name.startsWith('fieldsync/1/')),
    );
    const stored = await page.evaluate(async (name) => {
      const { requested } = globalThis.app;
      const opened = await requested(indexedDB.open(name));
      const rows = await requested(opened.transaction('audit').objectStore('audit').getAll());
      opened.close();
      return rows;
    }, database);
    const anew = forged(stored.map(({ v }) => v));
    await page.evaluate(
      async ([name, rows]) => {
        const { requested } = globalThis.app;
        const opened = await requested(indexedDB.open(name));
        const store = opened.transaction(['audit', 'state'], 'readwrite').objectStore('audit');
        for (const row of rows) store.put(row);
        // The note of the last verification would find it: whoever does this takes that too.
        await requested(store.transaction.objectStore('state').delete('auditVerified'));
        opened.close();
      },
      [database, stored.map((row, at) => ({ ...row, v: anew[at] }))],
    );
    const { ok, server } = await verify();
    assert.deepEqual([ok, server.ok, server.through], [true, false, anew.at(-1).seq], 'the device alone finds nothing');
    await create('Dora');
    await sync(page, page);
    const last = (await chain()).at(-1);
    assert.deepEqual([last.refused, last.trail.reason, last.user], ['audit_refused', 'fork', 'anna']);
    const [told, ...more] = await page.evaluate(() => globalThis.app.refused);
    assert.deepEqual(
      [told, more],
      [{ type: 'audit', code: 'audit_refused', reason: 'fork', number: last.trail.number }, []],
    );
    const { records } = await stage.server.content(TENANT);
    assert.equal(records.filter(({ data }) => data?.name === 'Dora').length, 1);
    assert.deepEqual(desk.troubles, []);
  });
});
