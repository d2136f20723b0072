/**
 * One job on every side, round after round, in an order that rotates: no side always finds the warmer machine. A world
 * is the stage, the site, the browser's name and the rounds, with a server and its schema.
 */
import { newProfile } from '../tests/environment.mjs';
import { openDevice } from './devices.mjs';

export const TENANT = 'bench';

/** One job on the given sides, each time as a new user in a new profile. */
export async function play(world, sides, job, options, latencyMs = 0) {
  const { state } = world.site;
  state.latencyMs = latencyMs;
  const rounds = await rotate(world.rounds, sides, (name, round) =>
    visit(world, name, job, { ...options, user: `${job}-${round}-${Date.now()}` }),
  );
  state.latencyMs = 0;
  return rounds;
}

/** Start the browser, open, read one record: each side in a profile that it filled before. */
export async function coldStarts(world, sides, records) {
  const [{ entity, id }] = records;
  const user = 'cold';
  const profiles = new Map();
  for (const { name } of sides) {
    const profile = await newProfile(world.stage);
    await visit(world, name, 'download', { user, count: records.length }, profile);
    profiles.set(name, profile);
  }
  return rotate(world.rounds, sides, (name) =>
    visit(world, name, 'coldStart', { user, entity, id }, profiles.get(name)),
  );
}

/** Tells the page who it is and where the server is. */
export async function setup({ server, schema }, page, user) {
  const tokens = { [user]: await server.token(TENANT, user) };
  const baseUrl = new URL('/api/v1/sync', page.url()).href;
  await page.evaluate((given) => globalThis.bench.setup(given), { tenant: TENANT, tokens, baseUrl, schema });
}

/** One side does one job, in a browser that was just started. */
async function visit(world, name, job, options, profile) {
  const { page, close } = await openDevice(world, profile);
  await setup(world, page, options.user);
  await page.evaluate((name) => globalThis.bench.load(name), name);
  const { state } = world.site;
  state.requests = 0;
  const argument = [name, job, options];
  const took = await page
    .evaluate(([name, job, options]) => globalThis.bench.run(name, job, options), argument)
    .catch((cause) => Promise.reject(new Error(`${name} failed at ${job}`, { cause })));
  const { requests } = state;
  await close();
  return { took, requests };
}

async function rotate(rounds, sides, visit) {
  const all = [];
  for (let round = 0; round < rounds; round++) {
    const first = round % sides.length;
    const found = Object.fromEntries(sides.map(({ name }) => [name, undefined]));
    for (const { name } of [...sides.slice(first), ...sides.slice(0, first)]) found[name] = await visit(name, round);
    all.push(found);
  }
  return all;
}
