/**
 * Bad input and bad answers: each has its typed error or state, and the queue stays as it was. After each of the
 * answers a good one follows, and everything arrives once.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { onceFaults } from './support-server.mjs';
import { openStage, TENANT } from './support-stage.mjs';

const JSON_TYPE = { 'Content-Type': 'application/json' };

/** What a page gives to `create`, made there because most of it cannot be sent to a page. */
const BAD_RECORDS = {
  'an entity that is not declared': ['unicorn', () => ({}), 'unknown_entity', undefined],
  'a reference that is an object': ['pet', () => ({ clientId: { id: 1 } }), 'invalid_reference', 'clientId'],
  'a reference that is a boolean': ['pet', () => ({ clientId: true }), 'invalid_reference', 'clientId'],
  "another entity's temporary ID": [
    'pet',
    () => ({ clientId: 'temp_1_aaaaaaaaaaaaaaaa_note' }),
    'invalid_reference',
    'clientId',
  ],
  'a function': ['client', () => ({ name: () => 'Ada' }), 'invalid_value', '/name'],
  'a cycle': [
    'client',
    () => {
      const parent = { name: 'Ada', child: {} };
      parent.child.parent = parent;
      return parent;
    },
    'invalid_value',
    '/child/parent',
  ],
  NaN: ['client', () => ({ weights: [1, Number.NaN] }), 'invalid_value', '/weights/1'],
  Infinity: ['client', () => ({ weight: Number.POSITIVE_INFINITY }), 'invalid_value', '/weight'],
  'a BigInt': ['client', () => ({ weight: 1n }), 'invalid_value', '/weight'],
  'an integer beyond 2^53': ['client', () => ({ weight: 2 ** 53 }), 'invalid_value', '/weight'],
  'an integer far below -2^53': ['client', () => ({ weight: -(2 ** 60) }), 'invalid_value', '/weight'],
  'a record of 10 MB': ['client', () => ({ photo: 'x'.repeat(10 << 20) }), 'too_large', undefined],
};

/** Settings that `open` refuses, each laid over good ones. */
const BAD_SETTINGS = {
  'a schema without entities': [{ schema: { name: 'clinic', version: 1 } }, 'invalid_schema', /^schema\b/],
  'a reference to an entity that is not declared': [
    { schema: { name: 'clinic', version: 1, entities: { pet: { references: { clientId: 'client' } } } } },
    'invalid_schema',
    /^schema\.entities\.pet\.references\.clientId$/,
  ],
  'a setting that does not exist': [{ batchsize: 50 }, 'bad_setting', /^batchsize$/],
  'a setting out of its range': [{ batchSize: 0 }, 'bad_setting', /^batchSize$/],
  'a setting of another type': [{ timeoutMs: '30s' }, 'bad_setting', /^timeoutMs$/],
  'an address without encryption': [{ baseUrl: 'http://example.org/sync' }, 'bad_setting', /^baseUrl$/],
  'a tenant that is none': [{ tenant: '' }, 'bad_setting', /^tenant$/],
};

describe('refusals', { timeout: 120_000 }, () => {
  let stage;
  let desk;
  let page;
  const operations = [];

  before(async () => {
    stage = await openStage();
    desk = await stage.device();
    page = await desk.tab();
    await save('kept through all of this');
  });
  after(() => stage?.close());

  async function save(name) {
    operations.push(
      await page.evaluate(
        async (text) => (await globalThis.app.client.create('client', { name: text })).operationId,
        name,
      ),
    );
  }

  /** What is queued: operation, payload, and nothing that may change by trying. */
  const queued = () =>
    page.evaluate(async () =>
      (await globalThis.app.client.queue.list()).map(({ seq, operationId, entity, recordId, kind, payload }) => ({
        ...{ seq, operationId, entity, recordId, kind, payload },
      })),
    );

  const sync = () => page.evaluate(() => globalThis.app.client.engine.sync());

  for (const [what, [entity, make, code, path]] of Object.entries(BAD_RECORDS)) {
    test(`${what} is refused with ${code}`, async () => {
      const before = await queued();
      const refusal = await page.evaluate(
        `globalThis.app.refusal(async () => globalThis.app.client.create(${JSON.stringify(entity)}, (${make})()))`,
      );
      assert.equal(refusal.code, code);
      assert.equal(refusal.path, path);
      assert.equal(refusal.retryable, false);
      assert.deepEqual(await queued(), before);
      assert.equal(await page.evaluate(() => globalThis.app.client.count('client')), operations.length);
    });
  }

  test('the same values are refused in an update, and the record stays as it was', async () => {
    const before = await queued();
    const refused = await page.evaluate(async () => {
      const { client, refusal } = globalThis.app;
      const [record] = await client.query('client');
      const changes = [{ name: () => 'Ada' }, { name: Number.NaN }, { name: 1n }, { name: 2 ** 53 }];
      const codes = [];
      for (const change of changes) codes.push((await refusal(() => client.update('client', record.id, change))).code);
      const after = await client.get('client', record.id);
      return { codes, same: JSON.stringify(after) === JSON.stringify(record) };
    });
    assert.deepEqual(refused, { codes: Array(4).fill('invalid_value'), same: true });
    assert.deepEqual(await queued(), before);
  });

  for (const [what, [setting, code, path]] of Object.entries(BAD_SETTINGS)) {
    test(`open refuses ${what} with ${code}`, async () => {
      const config = { ...(await stage.settings('zoe')), ...setting };
      const refusal = await page.evaluate(
        (bad) => globalThis.app.refusal(() => globalThis.app.fieldsync.FieldSync.open({ ...bad, token: () => null })),
        config,
      );
      assert.equal(refusal.code, code);
      assert.match(refusal.path, path);
    });
  }

  /** Answers of a server, or of what stands in its place. Each is given to every request of a session. */
  const BAD_ANSWERS = {
    'HTML where JSON should be': [
      () => ({ headers: { 'Content-Type': 'text/html' }, body: '<!doctype html><title>Sign in</title>' }),
      { code: 'network', retryable: true },
    ],
    'HTML that says it is JSON': [
      () => ({ headers: JSON_TYPE, body: '<!doctype html><title>Sign in</title>' }),
      { code: 'network', retryable: true },
    ],
    'a proxy that answers 500 with HTML': [
      () => ({ status: 500, headers: { 'Content-Type': 'text/html' }, body: '<h1>Internal Server Error</h1>' }),
      { code: 'server', retryable: true },
    ],
    '429 with Retry-After': [
      () => ({ status: 429, headers: { ...JSON_TYPE, 'Retry-After': '7' }, body: fault('rate_limited') }),
      { code: 'rate_limited', retryable: true, retryAfterMs: 7_000 },
    ],
    '500 from the server': [
      () => ({ status: 500, headers: JSON_TYPE, body: fault('server') }),
      { code: 'server', retryable: true },
    ],
  };

  for (const [what, [answer, error]] of Object.entries(BAD_ANSWERS)) {
    test(`${what}: ${error.code}, the queue stays, and the next session brings everything`, async () => {
      await save(what);
      await refusedSession((exchange) => exchange.reply(answer()), error);
    });
  }

  test('an answer that is cut off after the commit: network, and the resend finds the work done', async () => {
    await save('cut off');
    await refusedSession(
      async (exchange) => {
        if (exchange.endpoint !== 'upload') return exchange.pass();
        const { headers, body } = await exchange.forward();
        const { 'content-length': _, ...rest } = headers;
        return exchange.reply({ headers: rest, body: body.subarray(0, body.length / 2) });
      },
      { code: 'network', retryable: true },
    );
  });

  test('an answer whose length is announced and does not come: network', async () => {
    await save('broken off');
    await refusedSession(
      async (exchange) => {
        const { headers, body } = await exchange.forward();
        exchange.response.writeHead(200, headers);
        exchange.response.write(body.subarray(0, body.length / 2), () => exchange.cut());
      },
      { code: 'network', retryable: true },
    );
  });

  test('a token that proves nothing: auth_required, after a fresh one was asked for', async () => {
    await save('wrong token');
    const { token } = await stage.settings();
    await page.evaluate(
      (wrong) => {
        globalThis.app.token = wrong;
      },
      `${token.slice(0, -4)}AAAA`,
    );
    await refusedSession(
      (exchange) => exchange.pass(),
      { code: 'auth_required', retryable: false },
      async () => {
        assert.deepEqual(
          stage.gateway.requests.map(({ status }) => status),
          [401, 401],
        );
        await page.evaluate((right) => {
          globalThis.app.token = right;
        }, token);
      },
    );
  });

  for (const [what, no] of [
    ['no token at all', null],
    ['a page to log in', '<!doctype html>\n<p>Log in'],
    ['a letter that no header can carry', 'a€b'],
    ['nothing but a space', ' '],
  ]) {
    test(`${what}: auth_required, and nothing is sent`, async () => {
      await save(what);
      const { token } = await stage.settings();
      const set = (value) =>
        page.evaluate((next) => {
          globalThis.app.token = next;
        }, value);
      await set(no);
      await refusedSession(
        (exchange) => exchange.pass(),
        { code: 'auth_required', retryable: false },
        async () => {
          assert.deepEqual(stage.gateway.requests, []);
          // As it comes from a file or a shell.
          await set(`${token}\n`);
        },
      );
      await set(token);
    });
  }

  for (const [whose, tenant, user] of [
    ["another tenant's token", 'hilltop', 'anna'],
    ["another user's token", TENANT, 'ben'],
  ]) {
    test(`${whose}: identity_mismatch, nothing is applied to either`, async () => {
      await save(whose);
      const own = (await stage.settings()).token;
      await page.evaluate(
        (token) => {
          globalThis.app.token = token;
        },
        await stage.server.token(tenant, user),
      );
      await refusedSession(
        (exchange) => exchange.pass(),
        { code: 'identity_mismatch', retryable: false },
        async () => {
          assert.deepEqual(
            stage.gateway.requests.map(({ status }) => status),
            [403],
          );
          await page.evaluate((token) => {
            globalThis.app.token = token;
          }, own);
        },
      );
    });
  }

  test('413 for a batch: it is halved until it fits, and everything arrives', async () => {
    for (let at = 0; at < 8; at += 1) await save(`one of eight, ${at}`);
    const before = stage.gateway.uploads().length;
    stage.gateway.handler = (exchange) => {
      const { operations: batch } = exchange.endpoint === 'upload' ? JSON.parse(exchange.log.text) : { operations: [] };
      if (batch.length <= 2) return exchange.pass();
      return exchange.reply({ status: 413, headers: JSON_TYPE, body: fault('too_large') });
    };
    const result = await sync();
    stage.gateway.handler = (exchange) => exchange.pass();
    assert.deepEqual([result.success, result.synced, result.errors], [true, 8, []]);
    const sizes = stage.gateway
      .uploads()
      .slice(before)
      .map(({ operations: batch }) => batch.length);
    // Batches grow with each clean answer: whatever was too large is followed by at most half of it.
    const refused = sizes.filter((size) => size > 2);
    const taken = sizes.filter((size) => size <= 2).reduce((sum, size) => sum + size, 0);
    assert.ok(refused.length > 0, `none was too large: ${sizes}`);
    assert.equal(taken, 8);
    for (const [at, size] of sizes.entries()) if (size > 2) assert.ok(sizes[at + 1] <= size / 2, `${sizes}`);
    assert.deepEqual(await queued(), []);
  });

  test('413 for a single operation: it is parked with its whole payload, and the others go on', async () => {
    const id = await page.evaluate(async () => {
      const { record, operationId } = await globalThis.app.client.create('client', { name: 'too large for them' });
      globalThis.app.parked = operationId;
      return record.id;
    });
    await save('small enough');
    stage.gateway.handler = (exchange) => {
      if (exchange.endpoint !== 'upload' || !exchange.log.text.includes('too large for them')) return exchange.pass();
      return exchange.reply({ status: 413, headers: JSON_TYPE, body: fault('too_large') });
    };
    const result = await sync();
    stage.gateway.handler = (exchange) => exchange.pass();
    assert.deepEqual([result.success, result.synced, result.failed], [false, 1, 1]);
    const [item, ...others] = await page.evaluate(() => globalThis.app.client.queue.list());
    assert.deepEqual(others, []);
    assert.deepEqual([item.state, item.reason.code, item.recordId], ['parked', 'too_large', id]);
    assert.equal(JSON.stringify(item.payload).includes('too large for them'), true);
    const there = await page.evaluate((key) => globalThis.app.client.get('client', key), id);
    assert.deepEqual([there.name, there._sync.state], ['too large for them', 'parked']);
    assert.equal((await page.evaluate(() => globalThis.app.client.engine.status())).parked, 1);
  });

  test('in the end each operation was applied once, and nobody else has anything', async () => {
    const database = await stage.server.content(TENANT);
    assert.deepEqual(onceFaults(database, operations), []);
    assert.equal(database.otherTenants, 0);
    assert.deepEqual(desk.troubles, []);
  });

  /**
   * A session that gets these answers ends with this error and leaves the queue as it was; `repair` may look and put
   * right what was wrong; the next session is a success and empties the queue.
   */
  async function refusedSession(handler, error, repair) {
    const before = await queued();
    assert.ok(before.length > 0);
    stage.gateway.requests.length = 0;
    stage.gateway.handler = handler;
    const refused = await sync();
    stage.gateway.handler = (exchange) => exchange.pass();
    assert.deepEqual([refused.success, refused.synced, refused.failed], [false, 0, 0]);
    assert.equal(refused.errors.length, 1);
    const { message, ...found } = refused.errors[0];
    assert.deepEqual(found, error);
    assert.ok(message.length > 0);
    const status = await page.evaluate(() => globalThis.app.client.engine.status());
    assert.deepEqual([status.state, status.pending, status.parked], ['error', before.length, 0]);
    assert.equal(status.lastError.code, error.code);
    assert.deepEqual(await queued(), before);
    await repair?.();
    const next = await sync();
    assert.deepEqual([next.success, next.synced, next.errors], [true, before.length, []]);
    assert.deepEqual(await queued(), []);
  }
});

/** An error of the server, in its one shape. */
function fault(code) {
  return JSON.stringify({ error: { code, message: 'refused by the test', retryable: false } });
}
