/** The pure functions without a browser: a server that compares and hashes as its clients do. */
import { readFileSync } from 'node:fs';
import { deepEqual, diff, FieldSync, hashData, initSync, merge } from 'fieldsync';

initSync(readFileSync(new URL(import.meta.resolve('fieldsync/fieldsync.wasm'))));

const config = { tenant: 'home', user: 'anna', baseUrl: '/', schema: { name: 'notes', version: 1, entities: {} } };
const { code } = await FieldSync.open(config).catch((refusal) => refusal);
console.log(
  JSON.stringify({
    equal: deepEqual({ a: 1, b: [1.0] }, { b: [1], a: 1 }),
    difference: diff({ a: 1, b: 2 }, { a: 1, c: 3 }),
    merged: merge({ a: 1, b: 1 }, { a: 2, b: 1 }, { a: 1, b: 3 }).data,
    hash: hashData({ b: 1, a: 'ä' }),
    // There is no IndexedDB to open.
    open: code,
  }),
);
