/**
 * A long audit trail. The package writes its first row; the others are copies of that, each with an operation of its own,
 * linked by the rule of docs/audit.md: what `verify` then finds in order it found by the same work as after as many saves.
 */
import { measured } from './counting.mjs';
import { batches, expect } from './items.mjs';
import { databaseName, within } from './ours.mjs';
import { canonical, sha256 } from './plain.mjs';
import { completed, finished } from './raw.mjs';
import { PAGE_SIZE, timed } from './side.mjs';

const PAGE = 100;
/** Rows that the raw side reads at a time, as many as the package. */
const READ_AT_ONCE = 250;

function link(before, { hash: _, ...content }) {
  return sha256(`\u0001${before}${canonical(content)}`);
}

async function open() {
  return finished(indexedDB.open(await databaseName()));
}

/** Fills the database of a client that is closed. */
export async function fillTrail({ user, count }) {
  const operation = await within(user, async (client) => (await client.create('item', { title: 'x' })).operationId);
  const database = await open();
  const rows = await finished(database.transaction('audit').objectStore('audit').getAll());
  const text = JSON.stringify(rows.at(-1));
  let { k: number, v: last } = rows.at(-1);
  const missing = Array.from({ length: count - rows.length }, (_, at) => at);
  for (const some of batches(missing, PAGE_SIZE)) {
    const made = [];
    for (const at of some) {
      const row = JSON.parse(text.replaceAll(operation, operation.slice(0, -8) + String(at).padStart(8, '0')));
      number += 1;
      Object.assign(row.v, { seq: number, previous: last.seq });
      row.v.hash = await link(last.hash, row.v);
      last = row.v;
      made.push({ ...row, k: number });
    }
    const transaction = database.transaction('audit', 'readwrite', { durability: 'relaxed' });
    for (const row of made) transaction.objectStore('audit').put(row);
    await completed(transaction);
  }
  database.close();
  return operation;
}

/** What an app would do by itself with the same rows. */
async function verifyRaw(database) {
  let [hash, through] = ['0'.repeat(64), 0];
  for (;;) {
    const store = database.transaction('audit').objectStore('audit');
    const rows = await finished(store.getAll(IDBKeyRange.lowerBound(through, true), READ_AT_ONCE));
    if (rows.length === 0) return hash;
    for (const { k, v } of rows) {
      hash = await link(hash, v);
      if (hash !== v.hash) throw new Error(`row ${k} is not in order`);
      through = k;
    }
  }
}

/** As `conflicts` gives it. */
export function trail({ user, count, operation, rounds }) {
  return within(user, async (client) => {
    const { audit } = client;
    const database = await open();
    const found = [];
    for (const [name, job, check, rawJob] of [
      [
        'audit.verify',
        () => audit.verify(),
        ({ ok, rows }) => expect(ok && rows, count, 'rows in order'),
        () => verifyRaw(database),
      ],
      [
        'a page of 100',
        () => audit.query({ order: 'desc', limit: PAGE }),
        ({ length }) => expect(length, PAGE, 'rows'),
      ],
      ['rows of an operation', () => audit.query({ operation }), ({ length }) => expect(length, 1, 'rows')],
    ]) {
      const entry = { name, rounds: [], raw: [] };
      for (let round = 0; round < rounds; round++) {
        const { gave, ...cost } = await measured(client, job);
        check(gave);
        entry.rounds.push(cost);
        if (rawJob) entry.raw.push(await timed(rawJob));
      }
      found.push(entry);
    }
    database.close();
    return found;
  });
}
