/** What the bench holds the package's functions against must itself be right. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { canonical, diff, merge, sha256 } from './page/plain.mjs';

test('a difference goes down into objects, and takes a list as one value', () => {
  const from = { a: 1, b: { c: 2, 'd/~': 3 }, list: [1], same: [{ x: 1 }], gone: null };
  const to = { a: 1, b: { c: 4 }, list: [1, 2], same: [{ x: 1 }], more: {} };
  assert.deepEqual(diff(from, to), {
    set: { '/b/c': 4, '/list': [1, 2], '/more': {} },
    unset: ['/b/d~1~0', '/gone'],
  });
});

test('a merge keeps the server\u2019s value of what both changed, and names it', () => {
  const base = { a: 1, b: { c: 1, d: 1 }, e: 1, f: 1 };
  const local = { a: 2, b: { c: 2, d: 1 }, e: 2 };
  const server = { a: 3, b: { c: 1, d: 4 }, e: 2, f: 1 };
  assert.deepEqual(merge(base, local, server), { data: { a: 3, b: { c: 2, d: 4 }, e: 2 }, conflicts: ['a'] });
  assert.deepEqual(merge({ b: { c: 1 } }, { b: { c: 2 } }, {}), { data: {}, conflicts: ['b.c'] });
});

test('a canonical form has its members in order, and its hash is that of its bytes', async () => {
  const text = canonical({ b: [1, 1e21, null], a: { '\u20ac': 'é', z: true } });
  assert.equal(text, '{"a":{"z":true,"€":"é"},"b":[1,1e+21,null]}');
  assert.equal(await sha256(text), createHash('sha256').update(text).digest('hex'));
});
