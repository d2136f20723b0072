/**
 * What is kept of a device's past: ten thousand conflicts, a long audit trail. And the pure functions. Beside them stands
 * what an app would write for itself, in the same page and in turns.
 */
import { openDevice } from './devices.mjs';
import { setup } from './rounds.mjs';
import { median, printRow, spread } from './table.mjs';

/** A schema in which a person decides. */
export const DISPUTED = {
  name: 'bench',
  version: 1,
  entities: { item: { key: 'integer', references: { parentId: 'item' }, conflicts: { default: 'manual' } } },
};

/** A device, and how to run a job on it as this user. */
async function deviceOf(world, user) {
  const device = await openDevice(world);
  await setup(world, device.page, user);
  const run = (job, options) =>
    device.page
      .evaluate(([job, options]) => globalThis.bench.run('fieldsync', job, options), [job, { user, ...options }])
      .catch((cause) => Promise.reject(new Error(`${job} failed`, { cause })));
  return { run, close: device.close };
}

export async function conflicts(world, count) {
  const [here, there] = [await deviceOf(world, 'here'), await deviceOf(world, 'there')];
  await here.run('fill', { count });
  await there.run('change', { count, amount: 1 });
  await there.close();
  const met = await here.run('change', { count, amount: 2 });
  if (met.conflicts !== count) throw new Error(`${met.conflicts} conflicts instead of ${count}`);
  const found = await here.run('conflicts', { count, rounds: world.rounds });
  await here.close();
  printKept(`${count} conflicts`, [{ name: 'the session that meets them', rounds: [met], raw: [] }, ...found]);
}

export async function trail(world, count) {
  const device = await deviceOf(world, 'trail');
  const operation = await device.run('fillTrail', { count });
  printKept(`${count} audit rows`, await device.run('trail', { count, operation, rounds: world.rounds }));
  await device.close();
}

export async function functions(world, count) {
  const device = await deviceOf(world, 'functions');
  for (const { name, times, grew } of await device.run('functions', { count, rounds: world.rounds })) {
    const ratios = times.map(({ fieldsync, plain }) => fieldsync / plain);
    const ms = median(times.map(({ fieldsync }) => fieldsync)).toFixed(1);
    printRow([`${name}, ${count} times`, 'x plain', ...spread(ratios), ms, '', `${grew / 1024} KiB`]);
  }
  await device.close();
}

/** Milliseconds; the ratio where a raw side stands beside it; and what the last round cost, which differs little. */
function printKept(title, entries) {
  printRow([title, '', 'x raw', 'ms', 'least', 'most', 'reads', 'rows', 'commits', 'written', 'grew KiB']);
  for (const { name, rounds, raw } of entries) {
    const ratio = raw.length > 0 ? median(rounds.map(({ took }, round) => took / raw[round])).toFixed(2) : '';
    const { reads, rows, commits, written, grew } = rounds.at(-1);
    const cost = [reads, rows, commits, written, grew && grew / 1024].map((number) => String(number ?? ''));
    printRow([name, 'fieldsync', ratio, ...spread(rounds.map(({ took }) => took)), ...cost]);
  }
}
