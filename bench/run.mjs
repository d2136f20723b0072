/**
 * `cargo xtask bench`: how long FieldSync takes for what raw IndexedDB does in the same run; with `--beside`, other
 * libraries too.
 *
 * Absolute times say more about the machine than about the code, so what counts is the ratio: the sides alternate within
 * a round, and the median over the rounds is printed with the extremes. Below 1 is faster than raw. What the raw side
 * leaves out (audit, receipts, conflicts, a server that stores anything) it saves: the ratios flatter raw, and most
 * peers. docs/performance.md tells what is not equal.
 */
import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { readDatabase } from '../tests/replay/database.mjs';
import { openStage, seedDatabase, startServer } from '../tests/replay/stage.mjs';
import { JOBS, parseOrEnd } from './arguments.mjs';
import { openDevice } from './devices.mjs';
import * as kept from './kept.mjs';
import { bundlePeers } from './peers.mjs';
import { coldStarts, play, setup, TENANT } from './rounds.mjs';
import { serveBench } from './site.mjs';
import { median, printHead, printRounds, printRow } from './table.mjs';

const SCHEMA = {
  name: 'bench',
  version: 1,
  entities: { item: { key: 'integer', references: { parentId: 'item' } } },
};
// Generated records are those of the clinic.
const CLINIC = JSON.parse(await readFile(new URL('../www/clinic.schema.json', import.meta.url), 'utf8'));
const CASCADE = 1000;
/** Round trips alone may take this long: a peer that sends each operation by itself is left out of a longer push. */
const ROUND_TRIPS_LIMIT_MS = 30_000;

const asked = parseOrEnd();
const { jobs } = asked;
const SAVES = asked.quick ? 200 : 1000;
const DOWNLOADS = asked.quick ? [1000] : [10_000, 100_000];
const GRAPHS = asked.quick ? [500] : [500, 100_000];
const CONFLICTS = asked.quick ? 500 : 10_000;
const AUDIT_ROWS = asked.quick ? 2000 : 100_000;
const CALLS = asked.quick ? 1000 : 10_000;

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
  const peers = asked.beside ? await bundlePeers(join(site.pages, 'peers')) : [];
  const sides = [{ name: 'raw', jobs: JOBS }, { name: 'fieldsync', jobs: JOBS }, ...peers].filter(
    ({ name }) => name === 'raw' || asked.sides.includes(name),
  );
  const world = { stage, site, browser: asked.browser, rounds: asked.rounds };
  await printVersion(world);
  printHead();

  const server = await startServer(stage, SCHEMA, site.address);
  upstream = server.address;
  const itemWorld = { ...world, server, schema: SCHEMA };
  const able = (job) => sides.filter((side) => side.jobs.includes(job));
  const run = async (title, job, options, latencyMs = 0) => {
    if (!jobs.includes(job)) return;
    const patient = able(job).filter(
      ({ oneRequestEach }) => !oneRequestEach || options.count * latencyMs <= ROUND_TRIPS_LIMIT_MS,
    );
    printRounds(title, await play(itemWorld, patient, job, options, latencyMs));
    for (const { name } of able(job).filter((side) => !patient.includes(side))) printRow([title, name, '-']);
  };
  for (const overlapping of [false, true]) {
    await run(`${SAVES} saves, ${overlapping ? 'overlapping' : 'awaited'}`, 'save', { count: SAVES, overlapping });
  }
  for (const count of [100, 1000]) {
    for (const latencyMs of [0, 100]) await run(`push ${count}, +${latencyMs} ms`, 'push', { count }, latencyMs);
  }
  await run(`cascade over ${CASCADE}`, 'cascade', { count: CASCADE });
  await server.stop();

  for (const count of jobs.includes('download') || jobs.includes('coldStart') ? DOWNLOADS : []) {
    const database = await seedDatabase(stage, CLINIC, TENANT, count);
    const { records } = await readDatabase(database, TENANT);
    text = JSON.stringify(records.map(({ entity, id, data }) => ({ ...data, entity, id })));
    const seeded = await startServer(stage, CLINIC, site.address, database);
    upstream = seeded.address;
    const clinicWorld = { ...world, server: seeded, schema: CLINIC };
    if (jobs.includes('download')) {
      const title = `download ${records.length}`;
      printRounds(title, await play(clinicWorld, able('download'), 'download', { count: records.length }));
    }
    if (jobs.includes('coldStart') && count === DOWNLOADS[0]) {
      const title = `cold start, ${records.length} records`;
      printRounds(title, await coldStarts(clinicWorld, able('coldStart'), records));
    }
    await seeded.stop();
  }
  if (asked.sides.includes('fieldsync')) {
    if (jobs.includes('graph')) await graphs(itemWorld);
    if (jobs.includes('conflicts')) {
      const disputed = await startServer(stage, kept.DISPUTED, site.address);
      upstream = disputed.address;
      await kept.conflicts({ ...world, server: disputed, schema: kept.DISPUTED }, CONFLICTS);
      await disputed.stop();
    }
    if (jobs.includes('trail')) await kept.trail(itemWorld, AUDIT_ROWS);
    if (jobs.includes('functions')) await kept.functions(itemWorld, CALLS);
  }
  if (jobs.includes('size')) await sizes(site);
}

async function printVersion(world) {
  const device = await openDevice(world);
  console.log(`${world.browser} ${device.version}, ${world.rounds} rounds`);
  await device.close();
}

/** What is timed touches no database, so there is nobody to compare with. */
async function graphs(world) {
  const device = await openDevice(world);
  await setup(world, device.page, 'graph');
  for (const count of GRAPHS) {
    const times = [];
    for (let round = 0; round < world.rounds; round++) {
      const options = { user: 'graph', count };
      times.push(await device.page.evaluate((options) => globalThis.bench.run('fieldsync', 'graph', options), options));
    }
    printRow([`graph of ${count} operations`, 'fieldsync', '', '', '', median(times).toFixed(1)]);
  }
  await device.close();
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
