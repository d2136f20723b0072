/**
 * `cargo xtask bench [--quick]`: how long FieldSync takes for what raw IndexedDB does in the same run.
 *
 * Absolute times say more about the machine than about the code, so what counts is the ratio: the two sides alternate
 * within a round, and the median over the rounds is printed with the extremes. Below 1 is faster than raw. What the raw
 * side leaves out (audit, receipts, conflicts, a server that stores anything) it saves: the ratios flatter raw.
 */
import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { readDatabase } from '../tests/replay/database.mjs';
import { openDevice, openStage, seedDatabase, startServer } from '../tests/replay/stage.mjs';
import { serveBench } from './site.mjs';

const SCHEMA = {
  name: 'bench',
  version: 1,
  entities: { item: { key: 'integer', references: { parentId: 'item' } } },
};
// Generated records are those of the clinic.
const CLINIC = JSON.parse(await readFile(new URL('../www/clinic.schema.json', import.meta.url), 'utf8'));
const TENANT = 'bench';
const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false } } });
const ROUNDS = values.quick ? 2 : 5;
const SAVES = values.quick ? 200 : 1000;
const DOWNLOADS = values.quick ? [1000] : [10_000, 100_000];
const GRAPHS = values.quick ? [500] : [500, 100_000];
const CASCADE = 1000;

const stage = await openStage();
try {
  await bench();
} finally {
  await stage.close();
}

async function bench() {
  let upstream;
  let text = '[]';
  const site = await serveBench(stage, { upstream: () => upstream, records: () => text });
  const head = ['job', 'x raw', 'least', 'most', 'ms', 'raw ms', 'requests', 'raw'];
  console.log(row(head));

  const server = await startServer(stage, SCHEMA, site.address);
  upstream = server.address;
  const play = player(site, server, SCHEMA);
  for (const overlapping of [false, true]) {
    await play(`${SAVES} saves, ${overlapping ? 'overlapping' : 'awaited'}`, 'save', { count: SAVES, overlapping });
  }
  for (const count of [100, 1000]) {
    for (const latencyMs of [0, 100]) await play(`push ${count}, +${latencyMs} ms`, 'push', { count }, latencyMs);
  }
  await play(`cascade over ${CASCADE}`, 'cascade', { count: CASCADE });
  await server.stop();

  for (const count of DOWNLOADS) {
    const database = await seedDatabase(stage, CLINIC, TENANT, count);
    const { records } = await readDatabase(database, TENANT);
    text = JSON.stringify(records.map(({ entity, id, data }) => ({ ...data, entity, id })));
    const seeded = await startServer(stage, CLINIC, site.address, database);
    upstream = seeded.address;
    await player(site, seeded, CLINIC)(`download ${records.length}`, 'download', { count: records.length });
    if (count === DOWNLOADS[0]) await coldStart(site, seeded, records);
    await seeded.stop();
  }
  await graphs(site, server);
  await sizes(site);
}

/** A function that runs one job on both sides, alternating, each time as a new user in a new database. */
function player(site, server, schema) {
  return async (title, job, options, latencyMs = 0) => {
    site.state.latencyMs = latencyMs;
    const rounds = [];
    for (let round = 0; round < ROUNDS; round++) {
      const side = async (name) => {
        const user = `${job}-${round}-${Date.now()}`;
        const device = await openDevice(stage, site.address);
        await setup(device, server, schema, user);
        site.state.requests = 0;
        const took = await device.page.evaluate(
          ([job, name, options]) => globalThis.bench[job][name](options),
          [job, name, { ...options, user }],
        );
        const { requests } = site.state;
        await device.context.close();
        return { took, requests };
      };
      // The order alternates, so that neither side always finds the warmer machine.
      const order = round % 2 === 0 ? ['raw', 'ours'] : ['ours', 'raw'];
      const found = {};
      for (const name of order) found[name] = await side(name);
      rounds.push(found);
    }
    site.state.latencyMs = 0;
    print(title, rounds);
  };
}

/** Reload, open, read one record: on databases that the same profile filled before. */
async function coldStart(site, server, records) {
  const device = await openDevice(stage, site.address);
  const user = 'cold';
  const [{ entity, id }] = records;
  const visit = async (job, name, options) => {
    await device.page.goto(site.address);
    await device.page.waitForFunction(() => document.documentElement.dataset.ready === 'yes');
    await setup(device, server, CLINIC, user);
    const argument = [job, name, { ...options, user, entity, id }];
    const took = await device.page.evaluate(([job, name, options]) => globalThis.bench[job][name](options), argument);
    return { took, requests: 0 };
  };
  for (const name of ['raw', 'ours']) await visit('download', name, { count: records.length });
  const rounds = [];
  for (let round = 0; round < ROUNDS; round++) {
    rounds.push({ raw: await visit('coldStart', 'raw'), ours: await visit('coldStart', 'ours') });
  }
  await device.context.close();
  print(`cold start to first read of ${records.length}`, rounds);
}

async function graphs(site, server) {
  const device = await openDevice(stage, site.address);
  await setup(device, server, SCHEMA, 'graph');
  for (const count of GRAPHS) {
    const times = [];
    for (let round = 0; round < ROUNDS; round++) {
      const options = { user: 'graph', count };
      times.push(await device.page.evaluate((options) => globalThis.bench.graph(options), options));
    }
    console.log(row([`graph of ${count} operations`, '', '', '', median(times).toFixed(1), '', '', '']));
  }
  await device.context.close();
}

async function sizes(site) {
  for (const file of ['dist/wasm/fieldsync_bg.wasm', 'dist/wasm/fieldsync.js']) {
    const path = join(site.unpacked, file);
    const { stdout } = await promisify(execFile)('gzip', ['-9', '-n', '-c', path], {
      encoding: 'buffer',
      maxBuffer: 2 ** 28,
    });
    console.log(`${file}: ${(await stat(path)).size} bytes, gzip ${stdout.length}`);
  }
}

async function setup(device, server, schema, user) {
  const tokens = { [user]: await server.token(TENANT, user) };
  const baseUrl = new URL('/api/v1/sync', device.page.url()).href;
  await device.page.evaluate((given) => globalThis.bench.setup(given), {
    tenant: TENANT,
    tokens,
    baseUrl,
    schema,
  });
}

function print(title, rounds) {
  const ratios = rounds.map(({ ours, raw }) => ours.took / raw.took);
  const ms = (name) => median(rounds.map((round) => round[name].took)).toFixed(1);
  const requests = (name) => String(rounds[0][name].requests || '');
  const shown = [median(ratios), Math.min(...ratios), Math.max(...ratios)].map((ratio) => ratio.toFixed(2));
  console.log(row([title, ...shown, ms('ours'), ms('raw'), requests('ours'), requests('raw')]));
}

function row([title, ...cells]) {
  return title.padEnd(36) + cells.map((cell) => cell.padStart(9)).join('');
}

function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
