/** One job on every side, round after round, in an order that rotates: no side always finds the warmer machine. */
import { newProfile, openDevice } from './devices.mjs';

export const TENANT = 'bench';

/** A function that runs one job on the given sides, each time as a new user in a new profile. */
export function player(world, server, schema) {
  const { site } = world;
  return async (sides, job, options, latencyMs = 0) => {
    site.state.latencyMs = latencyMs;
    const rounds = await rotate(world.rounds, sides, async (name, round) => {
      const device = await openDevice(world);
      const found = await visit(world, device, server, schema, name, job, {
        ...options,
        user: `${job}-${round}-${Date.now()}`,
      });
      await device.close();
      return found;
    });
    site.state.latencyMs = 0;
    return rounds;
  };
}

/** Start the browser, open, read one record: each side in a profile that it filled before. */
export async function coldStarts(world, server, schema, sides, records) {
  const [{ entity, id }] = records;
  const profiles = new Map();
  const user = 'cold';
  const once = async (name, job, options) => {
    const device = await openDevice(world, profiles.get(name));
    const found = await visit(world, device, server, schema, name, job, { ...options, user });
    await device.close();
    return found;
  };
  for (const { name } of sides) {
    profiles.set(name, await newProfile(world.stage));
    await once(name, 'download', { count: records.length });
  }
  return rotate(world.rounds, sides, (name) => once(name, 'coldStart', { entity, id }));
}

/** Tells the page who it is and where the server is. */
export async function setup(page, server, schema, user) {
  const tokens = { [user]: await server.token(TENANT, user) };
  const baseUrl = new URL('/api/v1/sync', page.url()).href;
  await page.evaluate((given) => globalThis.bench.setup(given), { tenant: TENANT, tokens, baseUrl, schema });
}

async function visit({ site }, { page }, server, schema, name, job, options) {
  await setup(page, server, schema, options.user);
  await page.evaluate((name) => globalThis.bench.load(name), name);
  site.state.requests = 0;
  const argument = [name, job, options];
  const took = await page
    .evaluate(([name, job, options]) => globalThis.bench.run(name, job, options), argument)
    .catch((cause) => Promise.reject(new Error(`${name} failed at ${job}`, { cause })));
  return { took, requests: site.state.requests };
}

async function rotate(rounds, sides, play) {
  const all = [];
  for (let round = 0; round < rounds; round++) {
    const first = round % sides.length;
    const found = Object.fromEntries(sides.map(({ name }) => [name, undefined]));
    for (const { name } of [...sides.slice(first), ...sides.slice(0, first)]) found[name] = await play(name, round);
    all.push(found);
  }
  return all;
}
