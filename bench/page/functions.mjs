/** The package's functions and those of `plain.mjs`, in turns, over the same records. What comes out must be the same. */
import { deepEqual, diff, hashData, init, merge } from 'fieldsync';
import { memoryBytes } from './counting.mjs';
import { items } from './items.mjs';
import * as plain from './plain.mjs';
import { timed } from './side.mjs';

/** Records as three sides have them: one in two merges, one in two has a field that both changed. */
function triples(count) {
  return items(count).map((item, at) => {
    const base = { ...item, address: { city: 'Bern', street: 'Gasse 1', tags: ['a', 'b'] } };
    const local = { ...base, amount: at + 1, address: { ...base.address, street: `Weg ${at}` } };
    const server = { ...base, text: 'anew', address: { ...base.address, city: 'Thun' }, extra: { at, by: 'ben' } };
    delete local.done;
    if (at % 2 === 0) server.amount = -1;
    return { base, local, server };
  });
}

const WORKS = {
  diff: [({ base, local }) => diff(base, local), ({ base, local }) => plain.diff(base, local)],
  merge: [
    ({ base, local, server }) => merge(base, local, server),
    ({ base, local, server }) => plain.merge(base, local, server),
  ],
  hashData: [({ server }) => hashData(server), ({ server }) => plain.sha256(plain.canonical(server))],
};

/** For each function and round the milliseconds of both, and by how many bytes the module's memory grew. */
export async function functions({ count, rounds }) {
  await init();
  const all = triples(count);
  const found = [];
  for (const [name, [ours, theirs]] of Object.entries(WORKS)) {
    const sides = { fieldsync: ours, plain: theirs };
    const before = memoryBytes();
    const times = [];
    let answers;
    for (let round = 0; round < rounds; round++) {
      const order = Object.entries(sides);
      if (round % 2 === 1) order.reverse();
      const took = {};
      answers = {};
      for (const [side, work] of order) {
        took[side] = await timed(async () => {
          answers[side] = await Promise.all(all.map(work));
        });
      }
      times.push(took);
    }
    const other = answers.fieldsync.findIndex((answer, at) => !deepEqual(answer, answers.plain[at]));
    if (other >= 0) throw new Error(`${name} differs for record ${other}: ${JSON.stringify(answers.fieldsync[other])}`);
    found.push({ name, times, grew: memoryBytes() - before });
  }
  return found;
}
