/**
 * A hundred rounds with a bad network, a browser that is killed and a server that is killed: two devices write, the fault
 * of the round meets one upload for certain and others by chance, also while somebody dies; then everything works again
 * and all sides must be equal.
 *
 * The fault proxy stands before the whole origin, so that the page has it where real networks have it. Each kind of
 * fault has its rounds; which other requests of a round it meets, the proxy's seed decides. In the end SQLite, not our
 * code, reads the server's file.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { KINDS, openProxy } from '../../pkg/dist/fault-proxy/proxy.js';
import { newProfile } from '../environment.mjs';
import { startBrowser } from './support-chromium.mjs';
import { openStage, openTab, TENANT } from './support-stage.mjs';

const ROUNDS = 100;
/** Of a thousand requests, how many meet the fault of the round beside the one that surely does. */
const MORE_PER_THOUSAND = 300;
/** Who dies in a round, each in turn between rounds in which nobody does. */
const DEATHS = [
  'browser before the answer',
  'server after its commit',
  'browser while it writes',
  'server at its commit',
];
const DEATH_EVERY = 5;
/** Long for a round to settle once everything works. */
const SETTLE_LIMIT_MS = 20_000;
/** Each device has a field of its own in every record, so that its last word on it must stand. */
const FIELDS = ['left', 'right'];
const SETTINGS = {
  autoSync: true,
  timeoutMs: 1_000,
  backoffBaseMs: 20,
  backoffCapMs: 150,
  batchSize: 4,
  pollMs: 1_000,
};

describe('a hundred rounds of faults', { timeout: 900_000 }, () => {
  let stage;
  let proxy;
  const troubles = [];
  const devices = [];
  /** What each device said last of its field, by the name of the record; `undefined`: not a word. */
  const words = new Map();
  const deaths = new Map();
  /** How many uploads met each kind. */
  const uploads = new Map();
  let onUpload = () => {};

  before(async () => {
    stage = await openStage();
    proxy = await openProxy({
      upstream: stage.site.address,
      only: (url) => url.startsWith('/api/'),
      seed: 1,
      // Longer than a client waits.
      delayMs: 2 * SETTINGS.timeoutMs,
      onFault: (fault, url) => {
        if (!isUpload(url)) return;
        uploads.set(fault, (uploads.get(fault) ?? 0) + 1);
        onUpload(fault);
      },
    });
    stage.onClose(() => proxy.close());
    for (const field of FIELDS) {
      const device = { field, profile: await newProfile(stage), written: 0 };
      devices.push(device);
      await live(device);
    }
  });
  after(() => stage?.close());

  /** A new life of a device. */
  async function live(device) {
    const browser = await startBrowser(stage, device.profile);
    device.kill = browser.kill;
    device.page = await openTab(browser.context, proxy.address, troubles);
    await device.page.evaluate(
      async (config) => void (await globalThis.app.open(config)),
      await stage.settings('anna', SETTINGS),
    );
  }

  /** Creates a record with one that refers to it, and says something of another one. */
  async function write(device) {
    device.written += 1;
    const word = device.written;
    const name = `${device.field} ${word}`;
    const said = await device.page.evaluate(
      async ([field, label, word]) => {
        const { client } = globalThis.app;
        const { record } = await client.create('client', { label, [field]: word });
        await client.create('pet', { label: `pet of ${label}`, clientId: record.id });
        const all = await client.query('client');
        const other = all.filter((found) => found.label !== label).at(word % Math.max(all.length - 1, 1));
        if (other === undefined) return [label];
        await client.update('client', other.id, { [field]: word });
        return [label, other.label];
      },
      [device.field, name, word],
    );
    for (const label of said) words.set(label, { ...words.get(label), [device.field]: word });
  }

  /** Has one side die while the devices sync. */
  async function die(death, round) {
    deaths.set(death, (deaths.get(death) ?? 0) + 1);
    const victim = devices[round % 2];
    switch (death) {
      case 'browser before the answer': {
        const committed = new Promise((resolve) => {
          stage.gateway.handler = async (exchange) => {
            if (exchange.endpoint !== 'upload') return exchange.pass();
            await exchange.forward();
            resolve();
            await exchange.gone;
          };
        });
        await write(victim);
        await committed;
        await victim.kill();
        stage.gateway.handler = (exchange) => exchange.pass();
        return live(victim);
      }
      case 'browser while it writes': {
        // Whether this one is saved nobody was told: it may be there, or not.
        const label = `cut off in round ${round}`;
        const cut = victim.page
          .evaluate((fields) => globalThis.app.client.create('client', fields), { label })
          .catch(() => {});
        await victim.kill();
        await cut;
        return live(victim);
      }
      default: {
        await stage.server.kill();
        await stage.server.start(death === 'server at its commit' ? 'before-commit:1' : 'after-commit:1');
        const dead = stage.server.died();
        await write(victim);
        assert.equal(await dead, 'SIGABRT');
        return stage.server.start();
      }
    }
  }

  /**
   * Everything works; resolves when the devices have nothing to send and see the same. What a gateway found too large
   * even alone is parked: the person sends it again.
   */
  async function settle(round) {
    proxy.setRates({});
    for (const { field, page } of devices) {
      const left = await page.evaluate(async (limit) => {
        const { client } = globalThis.app;
        const over = new Promise((resolve) => setTimeout(resolve, limit, 'over'));
        do {
          for (const item of await client.queue.list()) {
            if (item.state === 'parked') await client.queue.retry(item.operationId);
          }
          client.engine.sync().catch(() => {});
          if ((await Promise.race([globalThis.app.settled(), over])) === 'over') {
            return JSON.stringify({ status: client.engine.status(), queue: await client.queue.list() });
          }
        } while (client.engine.status().parked > 0);
        return undefined;
      }, SETTLE_LIMIT_MS);
      assert.equal(left, undefined, `round ${round}: ${field} has not settled`);
    }
    const views = [];
    for (const { page } of devices) {
      views.push(
        await page.evaluate(async () => {
          const { client } = globalThis.app;
          const result = await client.engine.sync();
          const see = async (entity) => (await client.query(entity)).map(({ _sync, ...record }) => record);
          return { errors: result.errors, clients: await see('client'), pets: await see('pet') };
        }),
      );
    }
    assert.deepEqual(views[0].errors, [], `round ${round}`);
    assert.deepEqual(views[0], views[1], `round ${round}`);
    return views[0];
  }

  for (let round = 1; round <= ROUNDS; round += 1) {
    const fault = KINDS[round % KINDS.length];
    const death = round % DEATH_EVERY === 0 ? DEATHS[(round / DEATH_EVERY) % DEATHS.length] : undefined;
    test(`round ${round}: ${fault}${death === undefined ? '' : `, and the death of the ${death}`}`, async () => {
      const met = new Promise((resolve) => {
        onUpload = (kind) => kind === fault && resolve();
      });
      proxy.next(fault, { only: isUpload });
      proxy.setRates({ [fault]: MORE_PER_THOUSAND });
      for (const device of devices) await write(device);
      if (death !== undefined) await die(death, round);
      await met;
      const view = await settle(round);
      for (const record of view.clients) {
        const said = words.get(record.label);
        if (said === undefined) continue;
        for (const field of FIELDS) assert.equal(record[field], said[field], `${field} of ${record.label}`);
      }
    });
  }

  test('every record is in the database file once, as it was left', async (t) => {
    const view = await settle(ROUNDS);
    const queues = await Promise.all(
      devices.map(({ page }) => page.evaluate(() => globalThis.app.client.queue.list())),
    );
    assert.deepEqual(queues, [[], []]);
    const database = await stage.server.content(TENANT);
    assert.deepEqual([database.integrity, database.foreignKeys], ['ok', 0]);
    const labels = view.clients.map(({ label }) => label);
    assert.equal(new Set(labels).size, labels.length, 'nothing is there twice');
    const pets = new Map(view.pets.map((pet) => [pet.label, pet]));
    assert.equal(pets.size, view.pets.length, 'no pet is there twice');
    const clients = new Map(view.clients.map((client) => [client.label, client]));
    for (const label of words.keys()) {
      assert.ok(clients.has(label), `${label} is not lost`);
      assert.equal(pets.get(`pet of ${label}`)?.clientId, clients.get(label).id, `the pet of ${label}`);
    }
    const stored = (entity) => database.records.filter((record) => record.entity === entity);
    for (const [entity, seen] of [
      ['client', view.clients],
      ['pet', view.pets],
    ]) {
      const rows = stored(entity).map(({ id, data }) => ({ ...data, id }));
      assert.deepEqual(sorted(rows), sorted(seen), entity);
    }
    assert.deepEqual(
      new Set(database.references.map(({ from_id, to_id }) => `${from_id} ${to_id}`)),
      new Set(view.pets.map(({ id, clientId }) => `${id} ${clientId}`)),
    );
    const changes = database.changes.map(({ operation }) => operation);
    assert.equal(new Set(changes).size, changes.length, 'no operation has changed anything twice');
    assert.deepEqual(troubles, []);
    for (const kind of KINDS) {
      const rounds = Array.from({ length: ROUNDS }, (_, at) => at + 1).filter(
        (at) => KINDS[at % KINDS.length] === kind,
      );
      assert.ok(uploads.get(kind) >= rounds.length, `${kind} has met ${uploads.get(kind)} uploads`);
      const all = String(proxy.counts.get(kind) ?? 0).padStart(5);
      t.diagnostic(`${all} ${kind}, of them ${uploads.get(kind)} uploads`);
    }
    for (const [death, times] of deaths) t.diagnostic(`${String(times).padStart(5)} death of the ${death}`);
  });
});

const isUpload = (url) => url.endsWith('/upload');
const sorted = (records) => records.toSorted((a, b) => a.id - b.id);
