/**
 * The browser dies: SIGKILL to all its processes, at the two moments at which a record could be lost or doubled. What
 * counts is what lies in the server's database file in the end.
 *
 * A kill cannot tell a strict commit from a relaxed one, because the machine itself lives on; so that strict is asked
 * for is asserted on the transactions, and a page that weakens them shows that the assertion would notice.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { newProfile } from '../environment.mjs';
import { startBrowser } from './support-chromium.mjs';
import { onceFaults } from './support-server.mjs';
import { openStage, openTab, TENANT } from './support-stage.mjs';
import { durabilityFaults, recordTransactions } from './support-transactions.mjs';

const ROUNDS = 4;

describe('the browser is killed', { timeout: 180_000 }, () => {
  let stage;
  let profile;
  const troubles = [];
  /** Name and operation of every create that resolved. */
  const saved = [];

  before(async () => {
    stage = await openStage();
    profile = await newProfile(stage);
  });
  after(() => stage?.close());

  /** A new life of the profile, with the client open. */
  async function live(more) {
    const browser = await startBrowser(stage, profile);
    const page = await openTab(browser.context, stage.site.address, troubles);
    await page.evaluate(
      async (config) => void (await globalThis.app.open(config)),
      await stage.settings('anna', { backoffBaseMs: 20, backoffCapMs: 100, ...more }),
    );
    return { ...browser, page };
  }

  async function save(page, name) {
    const operation = await page.evaluate(
      async (fields) => (await globalThis.app.client.create('client', fields)).operationId,
      { name },
    );
    saved.push({ name, operation });
  }

  const names = (page) =>
    page.evaluate(async () => (await globalThis.app.client.query('client')).map(({ name }) => name).sort());
  const wanted = () => saved.map(({ name }) => name).sort();

  for (const autoSync of [false, true]) {
    const how = autoSync ? 'while the write is on its way' : 'before anything was sent';
    test(`right after create resolved, ${how}: every record is there at the next start`, async () => {
      for (let round = 0; round < ROUNDS; round += 1) {
        const { page, kill } = await live({ autoSync });
        assert.deepEqual(await names(page), wanted(), `round ${round}`);
        await save(page, `after create ${autoSync} ${round}`);
        await kill();
      }
    });
  }

  test('right after the commit, before the answer: the resend is the same operation and changes nothing', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const { page, kill } = await live();
      assert.deepEqual(await names(page), wanted(), `round ${round}`);
      await save(page, `after commit ${round}`);
      const before = stage.gateway.uploads().length;
      const committed = new Promise((resolve) => {
        stage.gateway.handler = async (exchange) => {
          if (exchange.endpoint !== 'upload') return exchange.pass();
          const answer = await exchange.forward();
          resolve(answer);
          // Held until the browser is gone: this answer reaches nobody.
          await exchange.gone;
        };
      });
      const syncing = page.evaluate(() => globalThis.app.client.engine.sync()).catch((error) => error);
      const { status, body } = await committed;
      assert.equal(status, 200);
      const held = JSON.parse(body).results;
      assert.ok(held.length > 0 && held.every(({ outcome }) => ['applied', 'duplicate'].includes(outcome.status)));
      await kill();
      assert.match(String(await syncing), /closed|crashed|disconnected/i);
      stage.gateway.handler = (exchange) => exchange.pass();

      const next = await live();
      const queue = await next.page.evaluate(() => globalThis.app.client.queue.list());
      assert.deepEqual(
        queue.map(({ operationId, sealed }) => [operationId, sealed]),
        held.map(({ operation }) => [operation, true]),
        'what was on its way still waits for its receipt',
      );
      const result = await next.page.evaluate(() => globalThis.app.client.engine.sync());
      assert.deepEqual([result.success, result.synced], [true, held.length]);
      const [lost, resent] = stage.gateway.uploads().slice(before);
      assert.deepEqual(resent.operations, lost.operations);
      assert.notEqual(resent.head.requestId, lost.head.requestId);
      await next.kill();
    }
  });

  test('nothing is lost and nothing doubled: in the browser, and in the database file', async () => {
    const { page } = await live();
    const result = await page.evaluate(() => globalThis.app.client.engine.sync());
    assert.equal(result.success, true);
    assert.deepEqual(await page.evaluate(() => globalThis.app.client.queue.list()), []);
    assert.deepEqual(await names(page), wanted());
    const database = await stage.server.content(TENANT);
    assert.equal(saved.length, 3 * ROUNDS);
    assert.deepEqual(
      onceFaults(
        database,
        saved.map(({ operation }) => operation),
      ),
      [],
    );
    assert.deepEqual(database.records.map(({ data }) => data.name).sort(), wanted());
    assert.deepEqual(troubles, []);
  });
});

describe('strict durability', { timeout: 60_000 }, () => {
  let stage;
  before(async () => {
    stage = await openStage();
  });
  after(() => stage?.close());

  /** Saves, sends and downloads in a page whose transactions are recorded. */
  async function recorded(options) {
    const { context } = await stage.device();
    await context.addInitScript(recordTransactions, options);
    const page = await openTab(context, stage.site.address, []);
    await page.evaluate(async (config) => void (await globalThis.app.open(config)), await stage.settings());
    return page.evaluate(async () => {
      const { client } = globalThis.app;
      const step = async (work) => {
        const from = globalThis.transactions.length;
        await work();
        // A copy at this very moment: a transaction that ends later is not complete here.
        return structuredClone(globalThis.transactions.slice(from));
      };
      const { record } = await client.create('client', { name: 'first' });
      return {
        create: await step(() => client.create('pet', { name: 'Rex', clientId: record.id })),
        update: await step(() => client.update('client', record.id, { name: 'second' })),
        delete: await step(async () => {
          const { record: short } = await client.create('client', { name: 'short' });
          await client.delete('client', short.id);
        }),
        upload: await step(() => client.engine.syncToServer()),
      };
    });
  }

  test('every save and every receipt is stored by a strict transaction that is complete', async () => {
    const seen = await recorded({ plantRelaxed: false });
    for (const [step, transactions] of Object.entries(seen)) {
      assert.deepEqual(durabilityFaults(transactions), [], step);
    }
    assert.deepEqual(seen.create.filter(({ stores }) => stores.includes('outbox')).length, 1);
    // Claim and outcomes at least.
    assert.ok(seen.upload.filter(({ stores }) => stores.length > 0).length >= 2);
  });

  test('a page that makes the same transactions relaxed is caught', async () => {
    const seen = await recorded({ plantRelaxed: true });
    for (const step of ['create', 'update', 'delete', 'upload']) {
      assert.match(durabilityFaults(seen[step]).join('\n'), /was relaxed/, step);
    }
  });

  test('a save that fails is not reported as saved', async () => {
    const { context } = await stage.device();
    await context.addInitScript(() => {
      const { commit } = IDBTransaction.prototype;
      globalThis.breakCommits = false;
      IDBTransaction.prototype.commit = function () {
        if (globalThis.breakCommits) this.abort();
        else commit.call(this);
      };
    });
    const page = await openTab(context, stage.site.address, []);
    await page.evaluate(async (config) => void (await globalThis.app.open(config)), await stage.settings());
    const refusal = await page.evaluate(async () => {
      globalThis.breakCommits = true;
      const found = await globalThis.app.refusal(() => globalThis.app.client.create('client', { name: 'nobody' }));
      globalThis.breakCommits = false;
      return [found.code, await globalThis.app.client.count('client'), await globalThis.app.client.queue.list()];
    });
    assert.deepEqual(refusal, ['storage_aborted', 0, []]);
  });
});
