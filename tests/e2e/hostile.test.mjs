/**
 * Documents that are trouble elsewhere, through the package and the real server: handed in by an app, and put into the
 * answers on their way. Each goes through unharmed or is refused by a code, and the next good write arrives. And a page with
 * one bit flipped, which is none.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { openStage } from './support-stage.mjs';

const levels = (count) => `${'{"n":'.repeat(count)}1${'}'.repeat(count)}`;
const long = (bytes) => JSON.stringify({ t: 'x'.repeat(bytes - '{"t":""}'.length) });
const many = JSON.stringify(Object.fromEntries(Array.from({ length: 40_000 }, (_, at) => [`f${at}`, at])));

/**
 * As JSON text, and the code by which a record of it is refused. JavaScript keeps the last of two equal keys, so an app
 * cannot hand two in: `app` says what becomes of the document there, where that is something else.
 */
const CASES = {
  prototype: ['{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},"toString":1}', null],
  '64 levels': [levels(64), null],
  '65 levels': [levels(65), 'too_deep'],
  'a key twice': ['{"a":1,"a":2}', 'invalid_value', { app: null }],
  '1e400': ['{"n":1e400}', 'invalid_value'],
  'twice the largest double': ['{"n":3.5953862697246318e308}', 'invalid_value'],
  '2^53': ['{"n":9007199254740992}', 'invalid_value'],
  '2^53 - 1': ['{"n":9007199254740991,"m":-9007199254740991}', null],
  'minus zero and the ends of doubles': ['{"n":-0,"a":5e-324,"z":1.7976931348623157e308}', null],
  'half a pair': ['{"s":"\\ud800"}', 'invalid_value'],
  'half a pair as a key': ['{"\\udc00":1}', 'invalid_value'],
  'strange keys': ['{"a\\u0000b":1,"\\u2028":2,"":3,"a/b~c":4,"\\ud83d\\ude00":5,"7":6,"01":7,"\\ufeff":8}', null],
  '1 MiB': [long(1 << 20), null, { update: 'too_large' }],
  '1 MiB and a byte': [long((1 << 20) + 1), 'too_large'],
  '40,000 fields': [many, null],
};
const MARK = '{"name":"MARK"}';

describe('documents that are trouble elsewhere', { timeout: 300_000 }, () => {
  let stage;
  let here;
  let there;
  let swapped;

  before(async () => {
    stage = await openStage();
    here = await (await stage.device()).tab('anna');
    there = await (await stage.device()).tab('ben');
  });
  after(() => stage?.close());

  const sync = (tab) => tab.evaluate(() => globalThis.app.client.engine.sync());
  /** Calls `create`, or `update` with an id, with a document; gives the temporary ID or the code. */
  const write = (tab, text, id) =>
    tab.evaluate(
      async ([document, known]) => {
        const { client } = globalThis.app;
        try {
          const fields = JSON.parse(document);
          const { record } =
            known === null ? await client.create('client', fields) : await client.update('client', known, fields);
          return { id: record.id };
        } catch (error) {
          return { code: error.code };
        }
      },
      [text, id ?? null],
    );
  /** The fields of a record, as text, and whether the page's own objects are as they were. */
  const read = (tab, id) =>
    tab.evaluate(async (known) => {
      const record = await globalThis.app.client.get('client', known);
      if ({}.polluted !== undefined) throw new Error('the prototype of all objects was changed');
      if (record === undefined) return undefined;
      const { id: _, _sync: __, ...fields } = record;
      return JSON.stringify(Object.entries(fields).sort());
    }, id);
  /** The server's side in the one conflict of a record, as text. */
  const met = (tab, id) =>
    tab.evaluate(async (known) => {
      const found = await globalThis.app.client.conflicts.list({ entity: 'client', record: known });
      return found.map(({ serverData }) => JSON.stringify(Object.entries(serverData).sort())).join();
    }, id);
  const meant = (text) => JSON.stringify(Object.entries(JSON.parse(text)).sort());
  const realId = (tab, id) => tab.evaluate((temp) => globalThis.app.client.tempIds.resolveTempId(temp), id);
  /** The next good write arrives. */
  async function goesOn(what) {
    const { id } = await write(here, JSON.stringify({ name: what }));
    const { success, errors } = await sync(here);
    assert.ok(success, `${what}: ${JSON.stringify(errors)}`);
    assert.ok((await sync(there)).success, what);
    assert.equal(await read(there, await realId(here, id)), meant(JSON.stringify({ name: what })), what);
  }
  /** Puts another document in the place of the mark, in what `endpoint` answers. A page's head tells its bytes and hash. */
  function swap(endpoint, text) {
    swapped = 0;
    stage.gateway.handler = async (exchange) => {
      if (exchange.endpoint !== endpoint) return exchange.pass();
      const { status, headers, body } = await exchange.forward();
      const lines = body.toString('utf8').split('\n');
      for (const [at, line] of lines.entries()) {
        lines[at] = line.replaceAll(MARK, () => {
          swapped += 1;
          return text;
        });
        if (at > 0 && lines[at - 1].includes('"sha256"')) {
          const bytes = Buffer.from(lines[at]);
          const sha256 = createHash('sha256').update(bytes).digest('hex');
          lines[at - 1] = JSON.stringify({ bytes: bytes.length, sha256 });
        }
      }
      const { 'content-length': _, 'content-encoding': __, ...rest } = headers;
      return exchange.reply({ status, headers: rest, body: lines.join('\n') });
    };
  }
  const unswap = () => {
    stage.gateway.handler = (exchange) => exchange.pass();
  };

  for (const [what, [text, refused, { app = refused, update = app } = {}]] of Object.entries(CASES)) {
    test(`${what}, as a create, an update and a download`, async () => {
      const created = await write(here, text);
      assert.equal(created.code ?? null, app);
      const first = await write(here, '{"kept":1}');
      const updated = await write(here, text, first.id);
      assert.equal(updated.code ?? null, update);
      await goesOn(what);
      if (app === null) {
        assert.equal(await read(here, created.id), meant(text));
        assert.equal(await read(there, await realId(here, created.id)), meant(text));
      }
      const both = JSON.stringify({ kept: 1, ...(update === null ? JSON.parse(text) : {}) });
      assert.equal(await read(there, await realId(here, first.id)), meant(both));
    });

    test(`${what}, in a page and in the answer to an upload`, async () => {
      const { id: temp } = await write(there, MARK);
      assert.ok((await sync(there)).success);
      const id = await realId(there, temp);
      swap('download', text);
      const page = await sync(here);
      unswap();
      assert.deepEqual([page.success, page.errors], [true, []]);
      assert.ok(swapped > 0);
      assert.equal(await read(here, id), refused === null ? meant(text) : undefined);
      await goesOn(what);

      const { id: other } = await write(here, '{"name":"first"}');
      assert.ok((await sync(here)).success && (await sync(there)).success);
      const shared = await realId(here, other);
      await write(there, '{"name":"MARK"}', shared);
      assert.ok((await sync(there)).success);
      await write(here, '{"name":"later"}', shared);
      swap('upload', text);
      const answer = await here.evaluate(() => globalThis.app.client.engine.syncToServer());
      unswap();
      // An answer that is none is as if none had come: the conflict is met with the next one.
      const codes = answer.errors.map(({ code }) => code);
      const none = codes.length > 0;
      assert.deepEqual(codes, none && refused !== null ? ['network'] : [], JSON.stringify(answer.errors));
      assert.ok(swapped > 0);
      await goesOn(what);
      assert.ok((await sync(here)).success);
      assert.match(await read(here, shared), /"later"/);
      assert.equal(await met(here, shared), meant(none ? MARK : text));
    });
  }

  test('a page with one bit flipped is refused, and comes whole the next time', async () => {
    const { id: temp } = await write(there, '{"name":"whole"}');
    assert.ok((await sync(there)).success);
    const id = await realId(there, temp);
    stage.gateway.handler = async (exchange) => {
      if (exchange.endpoint !== 'download') return exchange.pass();
      const { status, headers, body } = await exchange.forward();
      body[body.indexOf('"whole"') + 1] ^= 1;
      return exchange.reply({ status, headers, body });
    };
    const { success, errors } = await sync(here);
    unswap();
    assert.deepEqual([success, errors.map(({ code }) => code)], [false, ['garbled']]);
    assert.deepEqual([errors[0].details.entity, typeof errors[0].details.checkpoint], [null, 'string']);
    // Others may hold since earlier tests.
    const alerts = () =>
      here.evaluate(async () => {
        const codes = (await globalThis.app.client.alerts()).map(({ code }) => code);
        return codes.filter((code) => code === 'integrity');
      });
    assert.deepEqual(await alerts(), ['integrity']);
    assert.equal(await read(here, id), undefined);
    assert.ok((await sync(here)).success);
    assert.equal(await read(here, id), meant('{"name":"whole"}'));
    assert.deepEqual(await alerts(), []);
    const { ok, faults } = await here.evaluate(() => globalThis.app.client.integrity.checkIntegrity());
    assert.deepEqual([ok, faults], [true, []]);
  });
});
